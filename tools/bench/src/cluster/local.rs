//! A local cluster: several nodes of one world, with Redis between them. `HAProxy` is in front, or they share a port. The processes
//! start and stop in order; each can be killed, ended or paused on its own.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use game_client::{Failure, http};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

use crate::process::{Process, Scratch, log_file};
use crate::stage::{Stage, free_ports, local, responds};

/// Names of the nodes, as in the balancer's configuration; also the maximum number of nodes behind it.
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
    /// Its name.
    pub name: String,
    port: u16,
    admin_port: u16,
    /// Its process, unless it was stopped.
    pub process: Option<Process>,
}

/// Environment of nodes that share a port: as many players as the usual limit of 20,000 open files allows, and as `start.sh`.
const SHARED: [(&str, &str); 3] =
    [("REUSE_PORT", "true"), ("MAX_CONNECTIONS", "19400"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")];

/// Redis, the nodes and the balancer.
#[derive(Debug)]
pub struct LocalCluster<'a> {
    stage: &'a Stage,
    logs: Scratch,
    /// Whether the nodes share a port, and Redis has a Unix socket.
    is_shared: bool,
    port: u16,
    redis_port: u16,
    /// Redis, unless it was stopped.
    pub redis: Option<Process>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The balancer.
    pub proxy: Option<Process>,
}

impl LocalCluster<'_> {
    /// Starts Redis, `count` nodes, and the balancer on this port or any free one.
    ///
    /// # Errors
    /// A program is missing or does not start, or the user interrupts.
    ///
    /// # Panics
    /// Never: enough ports are requested.
    pub fn start(stage: &Stage, count: usize, port: Option<u16>) -> Result<LocalCluster<'_>, Failure> {
        let mut free = free_ports(2 + 2 * NAMES.len())?.into_iter();
        let mut next = || free.next().expect("two ports, and two for each node");
        let (port, redis_port) = (port.unwrap_or_else(&mut next), next());
        let names = NAMES.into_iter().take(count);
        let nodes = names.map(|name| Node::new(name.to_owned(), next(), next())).collect();
        let logs = Scratch::new()?;
        let mut cluster =
            LocalCluster { stage, logs, is_shared: false, port, redis_port, redis: None, nodes, proxy: None };
        cluster.start_redis()?;
        cluster.start_nodes()?;
        cluster.start_proxy()?;
        let address = cluster.address();
        cluster.wait("haproxy", || responds(address, "/health"))?;
        if count < NAMES.len() {
            // Until its first health checks, the balancer treats missing nodes as healthy.
            stage.interrupt.sleep(CHECKED)?;
        }
        Ok(cluster)
    }

    /// Starts `count` nodes that share this port or any free one, with Redis between them if they are several.
    ///
    /// # Errors
    /// A program is missing or does not start, or the user interrupts.
    ///
    /// # Panics
    /// Never: enough ports are requested.
    pub fn start_shared(stage: &Stage, count: usize, port: Option<u16>) -> Result<LocalCluster<'_>, Failure> {
        let mut free = free_ports(1 + count)?.into_iter();
        let mut next = || free.next().expect("a port, and one for each node");
        let port = port.unwrap_or_else(&mut next);
        let nodes = (1..=count).map(|number| Node::new(number.to_string(), port, next())).collect();
        let logs = Scratch::new()?;
        let mut cluster = LocalCluster {
            stage,
            logs,
            is_shared: true,
            port,
            redis_port: 0,
            redis: None,
            nodes,
            proxy: None,
        };
        if count > 1 {
            cluster.start_redis()?;
        }
        cluster.start_nodes()?;
        Ok(cluster)
    }

    fn start_nodes(&mut self) -> Result<(), Failure> {
        (0..self.nodes.len()).try_for_each(|at| self.start_node(at))?;
        (0..self.nodes.len()).try_for_each(|at| self.await_node(at))
    }

    /// Addresses of the metrics of all nodes, separated by commas.
    pub fn metrics_addresses(&self) -> String {
        let addresses = self.nodes.iter().map(|node| local(node.admin_port).to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Address of the balancer, or of the port that the nodes share.
    pub fn address(&self) -> SocketAddr {
        local(self.port)
    }

    /// Folder of the logs.
    pub fn logs(&self) -> &Path {
        &self.logs.0
    }

    /// Number of players on all nodes that respond.
    pub fn players(&self) -> u64 {
        self.nodes.iter().filter_map(|node| node.metrics()?["players"].as_u64()).sum()
    }

    /// Starts an empty Redis on the same port or socket.
    ///
    /// # Errors
    /// Redis does not start, or the user interrupts.
    pub fn start_redis(&mut self) -> Result<(), Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.redis_port.to_string()]);
        if self.is_shared {
            command.arg("--unixsocket").arg(self.redis_socket()).args(["--unixsocketperm", "700"]);
        }
        command.args(["--save", "", "--appendonly", "no"]).current_dir(&self.logs.0);
        command.stdin(Stdio::null()).stdout(log_file(&self.log_of("redis"))?);
        self.redis = Some(Process::start("redis-server", &mut command)?);
        let (address, socket) = (local(self.redis_port), self.redis_socket());
        self.wait("redis-server", || {
            if self.is_shared {
                UnixStream::connect(&socket).is_ok()
            } else {
                TcpStream::connect(address).is_ok()
            }
        })
    }

    fn redis_socket(&self) -> PathBuf {
        self.logs.0.join("redis.sock")
    }

    /// Starts a node that is not running.
    ///
    /// # Errors
    /// The process can't be started.
    pub fn start_node(&mut self, at: usize) -> Result<(), Failure> {
        let node = &self.nodes[at];
        let mut command = self.stage.game();
        command.env_remove("LOG_LEVEL").envs([
            ("PORT", node.port.to_string()),
            ("ADMIN_ADDR", local(node.admin_port).to_string()),
            ("NODE_NAME", node.name.clone()),
        ]);
        if self.is_shared {
            command.envs(SHARED);
            if self.nodes.len() > 1 {
                command.env("CLUSTER_URL", format!("redis+unix://{}", self.redis_socket().display()));
            }
        } else {
            command.env("CLUSTER_URL", format!("redis://{}/0", local(self.redis_port)));
            command.envs([("PROXY_PROTOCOL", "on"), ("TRUSTED_PROXIES", "127.0.0.0/8")]);
        }
        command.stdout(Stdio::null()).stderr(log_file(&self.log_of(&node.name))?);
        self.nodes[at].process = Some(Process::start("pixi-game-server", &mut command)?);
        Ok(())
    }

    /// Waits until a node that was started accepts players.
    ///
    /// # Errors
    /// The node does not accept players in time, or the user interrupts.
    pub fn await_node(&mut self, at: usize) -> Result<(), Failure> {
        let log = self.log_of(&self.nodes[at].name);
        let Node { name, admin_port, process, .. } = &mut self.nodes[at];
        let Some(process) = process else { return Ok(()) };
        self.stage.await_ready(name, process, local(*admin_port), "/health", Some(&log))
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.logs.0.join(format!("{name}.log"))
    }

    fn start_proxy(&mut self) -> Result<(), Failure> {
        // Debian installs it outside the usual PATH.
        let installed = Path::new("/usr/sbin/haproxy");
        let mut command = Command::new(if installed.exists() { installed } else { Path::new("haproxy") });
        command.args(["-db", "-f", HAPROXY_CONFIG]).env("BIND", self.address().to_string());
        for at in 0..NAMES.len() {
            // Missing nodes get a closed port and fail the health check.
            let address = local(self.nodes.get(at).map_or(1, |node| node.port));
            command.env(format!("SERVER_{}", at + 1), address.to_string());
        }
        command.env("MAXCONN", MAXCONN).stdin(Stdio::null()).stdout(Stdio::null());
        self.proxy = Some(Process::start("haproxy", command.stderr(log_file(&self.log_of("haproxy"))?))?);
        Ok(())
    }

    fn wait(&self, what: &str, mut is_there: impl FnMut() -> bool) -> Result<(), Failure> {
        let found = self.stage.interrupt.wait_for(START_PATIENCE, || Ok(is_there().then_some(())))?;
        found.ok_or_else(|| Failure::Failed(format!("{what} does not respond")))
    }
}

impl Node {
    fn new(name: String, port: u16, admin_port: u16) -> Node {
        Node { name, port, admin_port, process: None }
    }

    /// Metrics of the node; `None` if it does not respond.
    pub fn metrics(&self) -> Option<Json> {
        http::get_json(local(self.admin_port), "/metrics", ANSWER_PATIENCE).ok()
    }

    /// A count of the node's cluster; `None` if it does not respond.
    pub fn cluster(&self, count: &str) -> Option<u64> {
        self.metrics()?["cluster"][count].as_u64()
    }
}

/// Sends a signal to a process, such as SIGSTOP or SIGCONT.
///
/// # Errors
/// The process is not running.
pub fn send(process: Option<&Process>, signal: Signal) -> Result<(), Failure> {
    let process = process.ok_or_else(|| Failure::Failed("nothing to signal".to_owned()))?;
    kill(Pid::from_raw(process.id().cast_signed()), signal)
        .map_err(|error| Failure::Failed(format!("{signal} can't be sent: {error}")))
}

/// Kills a process, if it is running.
///
/// # Errors
/// None for a child of this process.
pub fn kill_now(process: &mut Option<Process>) -> Result<(), Failure> {
    if let Some(mut process) = process.take() {
        process.kill()?;
    }
    Ok(())
}

impl Drop for LocalCluster<'_> {
    fn drop(&mut self) {
        // Front to back, so that no process logs errors about a missing backend.
        self.proxy = None;
        self.nodes.clear();
        self.redis = None;
    }
}
