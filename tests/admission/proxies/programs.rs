//! Real proxies as processes, each on its own loopback address.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::Server;
use crate::support::debian::program;
use crate::support::wait::wait_until;

/// A temporary folder, removed on drop, and an address to listen on.
pub struct Place {
    pub folder: PathBuf,
    pub address: SocketAddr,
}

impl Place {
    /// Returns a place that no other test uses, in this process or a concurrent one. Places differ by
    /// address, not by port, so that no port can be taken in between.
    pub fn new() -> Place {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 64 | high >> 2, low, number), 18_443));
        let name = format!("proxy-{}-{number}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("a folder");
        Place { folder, address }
    }

    /// nginx directives that keep its temporary files below the folder.
    pub fn nginx_paths(&self) -> String {
        let folder = self.folder.display();
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat()
    }

    /// Writes a file, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A running proxy, stopped on drop.
pub struct Proxy {
    child: Child,
    pub place: Place,
}

impl Proxy {
    /// Starts nginx with this configuration in the foreground, and waits until it accepts connections.
    pub fn nginx(place: Place, configuration: &str) -> Proxy {
        let file = place.write("nginx.conf", configuration);
        let mut command = Command::new(program("nginx"));
        command.arg("-c").arg(file).arg("-p").arg(&place.folder).args(["-g", "daemon off;"]);
        Proxy::start(place, command)
    }

    /// Starts nginx so that it forwards `path` to the server, with additional directives for the location.
    pub fn nginx_before(server: &Server, path: &str, to: &str, lines: &str) -> Proxy {
        let place = Place::new();
        let (folder, listen, server) = (place.folder.display(), place.address, server.address());
        let paths = place.nginx_paths();
        let text = format!(
            "pid {folder}/pid;\nerror_log stderr;\nmaster_process off;\nevents {{}}\nhttp {{\n\
             access_log off;\n{paths}server {{\nlisten {listen};\nlocation {path} {{\n\
             proxy_pass http://{server}{to};\nproxy_http_version 1.1;\n\
             proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection upgrade;\n\
             {lines}}}\n}}\n}}\n"
        );
        Proxy::nginx(place, &text)
    }

    /// Starts `HAProxy` with this configuration in the foreground, and waits until it accepts connections.
    pub fn haproxy(place: Place, configuration: &str) -> Proxy {
        let file = place.write("haproxy.cfg", configuration);
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(file);
        Proxy::start(place, command)
    }

    fn start(place: Place, mut command: Command) -> Proxy {
        let output = fs::File::create(place.folder.join("output")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn().expect("the proxy starts");
        let mut proxy = Proxy { child, place };
        wait_until("the proxy to accept connections", || {
            if let Some(status) = proxy.child.try_wait().expect("a status") {
                let output = fs::read_to_string(proxy.place.folder.join("output")).unwrap_or_default();
                panic!("{command:?} ended ({status}):\n{output}");
            }
            TcpStream::connect(proxy.place.address).is_ok()
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx passes this signal on to its workers.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// An example of the `deploy` folder with texts replaced. Each text must occur exactly once.
pub fn example(name: &str, replacements: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    let mut text = fs::read_to_string(path).expect("an example");
    for (from, to) in replacements {
        assert_eq!(text.matches(from).count(), 1, "{from} in {name}");
        text = text.replacen(from, to, 1);
    }
    text
}
