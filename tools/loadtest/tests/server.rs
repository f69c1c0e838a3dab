//! A game server inside the process of a test. The tests of a tool always have a server, even if only that tool is
//! built.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::mpsc::channel;

use pixi_game_server::config::{self, Command, Config};
use pixi_game_server::ops::logging::LogHandle;
use pixi_game_server::server::Server;
use pixi_game_server::server::core::assets::Assets;
use pixi_game_server::server::driver::capacity;
use pixi_game_server::server::driver::os::Signals;
use simplelog::{LevelFilter, TestLogger};

/// Serves on a free port of 127.0.0.1 until the process ends. `settings` override the defaults.
/// The server logs to the output of the calling test, which the test harness prints when the test fails.
///
/// # Panics
/// If a setting is invalid, or no port or descriptor is free.
pub fn serve(settings: &'static [(&str, &str)]) -> SocketAddr {
    // An error means that another test of this process has already installed the logger.
    let _ = TestLogger::init(LevelFilter::Info, simplelog::Config::default());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let given = |name: &str| match name {
            "HOST" => Some(OsString::from("127.0.0.1")),
            "PORT" => Some(OsString::from("0")),
            _ => settings.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.into()),
        };
        let command = config::parse(std::iter::empty(), given).expect("valid settings");
        let Command::Run(config, _) = command else { panic!("no flags are given") };
        let signals = Signals::for_shutdown().expect("a descriptor is left");
        let capacity = capacity::raise_for(config.max_connections, false);
        let reread = || Ok(Config::default());
        let server = Server::bind(config, capacity, Assets::default(), signals, LogHandle::default(), reread)
            .expect("a port is free");
        sender.send(server.local_addr().expect("a listener has an address")).expect("the test waits");
        server.run()
    });
    receiver.recv().expect("the server binds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_a_test_logs() {
        serve(&[]);
        assert_eq!(log::max_level(), LevelFilter::Info);
    }
}
