//! `load` with stand-ins for server and load test: it reports failures and leaves no process
//! behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{PROGRAM, end_of};

/// Creates a folder with the program; `server` installs the game server's stand-in.
fn folder(name: &str, server: impl Fn(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a new folder");
    fs::hard_link(PROGRAM, folder.join("bench")).expect("the same file system");
    symlink("/bin/false", folder.join("loadtest")).expect("the path is free");
    server(&folder.join("pixi-game-server"));
    folder
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(folder.join("bench"));
    command.args(["load", "--check"]).current_dir(folder).env_remove("ROWS").stderr(Stdio::piped());
    command
}

#[test]
fn a_failed_server_fails_the_bench_and_an_interrupt_kills_the_server() {
    let folder = folder("processes", |server| {
        symlink("/bin/false", server).expect("the path is free");
    });
    let (status, message) = end_of(&command(&folder).output().expect("it runs"));
    assert_eq!(status, Some(1));
    assert!(message.ends_with("pixi-game-server: ended during startup with exit status: 1"), "{message}");

    let server = folder.join("pixi-game-server");
    fs::remove_file(&server).expect("it is there");
    fs::write(&server, "#!/bin/sh\necho $$ > pid.new && mv pid.new pid\nexec sleep 60\n").expect("a script");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let bench = command(&folder).spawn().expect("it runs");
    let server_pid = Pid::from_raw(wait_for_number(&folder.join("pid")));
    assert_eq!(kill(server_pid, None), Ok(()));
    kill(Pid::from_raw(bench.id() as i32), Signal::SIGINT).expect("it runs");
    let output = bench.wait_with_output().expect("it ends");
    assert_eq!(end_of(&output), (Some(130), "bench load: interrupted".to_owned()));
    assert_eq!(kill(server_pid, None), Err(Errno::ESRCH));
    fs::remove_dir_all(folder).expect("it is ours");
}

/// A load test that prints results of row f at once. Every target is met, except perhaps that of the joins.
fn load_test(folder: &Path, joined_in_s: u32, stolen_ratio: f64) {
    let results = format!(
        r#"{{
            "problems": [], "moves": {{ "missing": 0, "held_up": 0, "lost": 0 }},
            "connections": {{ "failed": {{}}, "lost": {{}}, "joined_in_s": {joined_in_s} }},
            "traffic": {{ "seconds": 1.0, "clients": 1 }},
            "server": {{
                "cores": 0.01, "resident_bytes_max": 1048576,
                "metrics": {{ "tick_rate_hz": 60.0, "ticks_skipped": 0.0 }}
            }},
            "generator": {{ "kept_up": true, "stolen_ratio": {stolen_ratio} }}
        }}"#
    );
    let file = folder.join("loadtest");
    let _ = fs::remove_file(&file);
    fs::write(&file, format!("#!/bin/sh\ncat <<'END'\n{results}\nEND\n")).expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_check_ends_with_0_1_or_3() {
    let folder = folder("verdicts", |server| {
        let built = Path::new(PROGRAM).with_file_name("pixi-game-server");
        assert!(built.exists(), "`cargo test --workspace` builds it");
        symlink(built, server).expect("the path is free");
    });
    for (joined_in_s, stolen_ratio, status, verdict) in [
        (1, 0.0, 0, "yes"),
        (1, 0.5, 0, "yes"),
        (99, 0.0, 1, "no: row f: all clients joined after 99.0 s (<= 10 s)"),
        (
            99,
            0.5,
            3,
            "can't tell, because the server was not the only bottleneck: 50.0 % of the CPU time was steal time. ",
        ),
    ] {
        load_test(&folder, joined_in_s, stolen_ratio);
        let output = command(&folder).args(["--rows", "f"]).output().expect("it runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(status), "{stdout}");
        assert!(stdout.lines().last().is_some_and(|line| line.starts_with(verdict)), "{stdout}");
    }
    fs::remove_dir_all(folder).expect("it is ours");
}

fn wait_for_number(path: &Path) -> i32 {
    let began = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(path) {
            return text.trim().parse().expect("a number");
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}
