//! A local cluster: several nodes of one world, with Redis between them and `HAProxy` in front. The processes start and
//! stop in order; each can be killed, ended or paused on its own.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::console::progress;
use game_client::{Failure, Interrupt, http};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pixi_game_server::config::SETTINGS;
use serde_json::Value as Json;
use stage::Process;
use stage::process::{log_file, tail};
use stage::server::{folder_with, free_ports};

/// Names of the nodes, as in the balancer's configuration; also the maximum number of nodes.
pub const NAMES: [&str; 3] = ["one", "two", "three"];

/// The balancer's configuration, relative to the root of the project.
const HAPROXY_CONFIG: &str = "deploy/haproxy-cluster.cfg";

/// Connection limit of the balancer: two descriptors each, within the usual limit of a process.
const MAXCONN: &str = "9000";

/// Timeout for the start of a process, generous for busy machines.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// Time until the balancer's health checks have marked the missing nodes as down.
const CHECKED: Duration = Duration::from_secs(2);

/// Timeout of an HTTP request.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    name: &'static str,
    port: u16,
    admin_port: u16,
    process: Option<Process>,
}

/// Redis, the nodes and the balancer.
#[derive(Debug)]
pub struct LocalCluster {
    folder: PathBuf,
    logs: PathBuf,
    port: u16,
    redis_port: u16,
    redis: Option<Process>,
    /// The nodes.
    pub nodes: Vec<Node>,
    proxy: Option<Process>,
}

impl LocalCluster {
    /// Starts Redis, `count` nodes, and the balancer on this port or any free one.
    ///
    /// # Errors
    /// A program is missing or does not start, or the user interrupts.
    ///
    /// # Panics
    /// Never: enough ports are requested.
    pub fn start(count: usize, port: Option<u16>, interrupt: &Interrupt) -> Result<LocalCluster, Failure> {
        let folder = folder_with(&["pixi-game-server", "loadtest"])?;
        let logs = std::env::temp_dir().join(format!("pixi-cluster-{}", std::process::id()));
        fs::create_dir_all(&logs)?;
        let mut free = free_ports(2 + 2 * NAMES.len())?.into_iter();
        let mut next = || free.next().expect("two ports, and two for each node");
        let port = port.unwrap_or_else(&mut next);
        let redis_port = next();
        let mut cluster =
            LocalCluster { folder, logs, port, redis_port, redis: None, nodes: Vec::new(), proxy: None };
        cluster.start_redis(interrupt)?;
        for name in NAMES.into_iter().take(count) {
            let node = Node { name, port: next(), admin_port: next(), process: None };
            cluster.nodes.push(node);
            cluster.start_node(cluster.nodes.len() - 1)?;
        }
        for at in 0..count {
            cluster.await_node(at, interrupt)?;
        }
        cluster.start_proxy()?;
        let address = cluster.address();
        wait(interrupt, "haproxy", || {
            Ok(http::get(address, "/health", ANSWER_PATIENCE).is_ok_and(|answer| answer.status == 200))
        })?;
        if count < NAMES.len() {
            // Until its first health checks, the balancer treats missing nodes as healthy.
            interrupt.sleep(CHECKED)?;
        }
        Ok(cluster)
    }

    /// Address of the balancer.
    pub fn address(&self) -> SocketAddr {
        local(self.port)
    }

    /// Folder of the logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Command for a program of this project.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join(name))
    }

    /// Process ids of Redis and of the balancer.
    pub fn helpers(&self) -> [Option<u32>; 2] {
        [self.redis.as_ref().map(Process::id), self.proxy.as_ref().map(Process::id)]
    }

    /// Starts an empty Redis on the same port.
    ///
    /// # Errors
    /// Redis does not start, or the user interrupts.
    pub fn start_redis(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.redis_port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]).current_dir(&self.logs);
        command.stdin(Stdio::null()).stdout(log_file(&self.logs.join("redis.log"))?);
        self.redis = Some(Process::start("redis-server", &mut command)?);
        let address = local(self.redis_port);
        wait(interrupt, "redis-server", || Ok(TcpStream::connect(address).is_ok()))
    }

    /// Kills Redis.
    ///
    /// # Errors
    /// None for a child of this process.
    pub fn kill_redis(&mut self) -> Result<(), Failure> {
        if let Some(mut redis) = self.redis.take() {
            redis.kill()?;
        }
        Ok(())
    }

    /// Sends a signal to Redis, such as SIGSTOP or SIGCONT.
    ///
    /// # Errors
    /// Redis is not running.
    pub fn signal_redis(&self, signal: Signal) -> Result<(), Failure> {
        send(self.redis.as_ref(), signal)
    }

    /// Starts a node that is not running.
    ///
    /// # Errors
    /// The process can't be started.
    pub fn start_node(&mut self, at: usize) -> Result<(), Failure> {
        let mut command = self.program("pixi-game-server");
        // The node runs with default settings, whatever the environment contains.
        for setting in SETTINGS {
            command.env_remove(setting.variable);
        }
        let node = &self.nodes[at];
        command.envs([
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", node.port.to_string()),
            ("ADMIN_ADDR", local(node.admin_port).to_string()),
            ("NODE_NAME", node.name.to_owned()),
            ("CLUSTER_URL", format!("redis://{}/0", local(self.redis_port))),
            ("PROXY_PROTOCOL", "on".to_owned()),
            ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log_file(&self.log_of(node.name))?);
        self.nodes[at].process = Some(Process::start("pixi-game-server", &mut command)?);
        Ok(())
    }

    /// Waits until a node accepts players.
    ///
    /// # Errors
    /// The node does not accept players in time, or the user interrupts.
    pub fn await_node(&mut self, at: usize, interrupt: &Interrupt) -> Result<(), Failure> {
        let log = self.log_of(self.nodes[at].name);
        let node = &mut self.nodes[at];
        let (name, address) = (node.name, local(node.admin_port));
        let failed =
            |what: &str| Failure::Failed(format!("{name} {what}; its log ends with:\n{}", tail(&log)));
        let found = interrupt.wait_for(START_PATIENCE, || {
            if node.process.as_mut().map_or(Ok(None), Process::status)?.is_some() {
                return Err(failed("exited during its start"));
            }
            let answer = http::get(address, "/health", ANSWER_PATIENCE);
            Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
        })?;
        found.ok_or_else(|| failed("does not respond"))
    }

    /// Log file of a node.
    fn log_of(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn start_proxy(&mut self) -> Result<(), Failure> {
        // Debian installs it outside the usual PATH.
        let installed = Path::new("/usr/sbin/haproxy");
        let program = if installed.exists() { installed } else { Path::new("haproxy") };
        let mut command = Command::new(program);
        command.args(["-db", "-f", HAPROXY_CONFIG]).env("BIND", self.address().to_string());
        command.env("MAXCONN", MAXCONN).stdin(Stdio::null());
        for at in 0..NAMES.len() {
            // Missing nodes get a closed port and fail the health check.
            let address = local(self.nodes.get(at).map_or(1, |node| node.port));
            command.env(format!("SERVER_{}", at + 1), address.to_string());
        }
        let log = log_file(&self.logs.join("haproxy.log"))?;
        command.stdout(Stdio::null()).stderr(log);
        self.proxy = Some(Process::start("haproxy", &mut command)?);
        Ok(())
    }
}

impl Node {
    /// Name of the node.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the node was started and not stopped since.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Metrics of the node; `None` if it does not respond.
    pub fn metrics(&self) -> Option<Json> {
        http::get_json(local(self.admin_port), "/metrics", ANSWER_PATIENCE).ok()
    }

    /// Kills the node.
    ///
    /// # Errors
    /// None for a child of this process.
    pub fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Asks the node to shut down, and waits for its exit.
    ///
    /// # Errors
    /// None for a child of this process.
    pub fn end(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.end()?;
        }
        Ok(())
    }

    /// Sends a signal to the node, such as SIGSTOP or SIGCONT.
    ///
    /// # Errors
    /// The node is not running.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        send(self.process.as_ref(), signal)
    }
}

fn send(process: Option<&Process>, signal: Signal) -> Result<(), Failure> {
    let process = process.ok_or_else(|| Failure::Failed("nothing to signal".to_owned()))?;
    kill(Pid::from_raw(process.id().cast_signed()), signal)
        .map_err(|error| Failure::Failed(format!("{signal} can't be sent: {error}")))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn wait(
    interrupt: &Interrupt,
    what: &str,
    mut is_there: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let found = interrupt.wait_for(START_PATIENCE, || Ok(is_there()?.then_some(())))?;
    found.ok_or_else(|| Failure::Failed(format!("{what} does not respond")))
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // Front to back, so that no process logs errors about a missing backend.
        self.proxy = None;
        self.nodes.clear();
        self.redis = None;
        match fs::remove_dir_all(&self.logs) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                progress(format_args!("{}: can't be removed: {error}", self.logs.display()));
            }
            _ => {}
        }
    }
}
