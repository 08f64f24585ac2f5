use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::pattern::matches;

/// A bash process that runs one script after another, in a directory of its own.
pub(crate) struct Session {
    shell: Child,
    commands: ChildStdin,
    replies: Receiver<String>,
    directory: PathBuf,
    scripts: usize,
    timeout: Duration,
}

/// A script that runs in the background.
pub(crate) struct Live {
    /// Its process group.
    group: i32,
    output: PathBuf,
}

impl Session {
    /// Starts bash by a command that has its environment. Each script must end within `timeout`.
    pub(crate) fn start(mut bash: Command, directory: &Path, timeout: Duration) -> Self {
        fs::create_dir(directory.join("blocks")).unwrap();
        bash.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut shell = bash.spawn().unwrap();
        let (sender, replies) = channel();
        let lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            commands: shell.stdin.take().unwrap(),
            shell,
            replies,
            directory: directory.to_owned(),
            scripts: 0,
            timeout,
        }
    }

    /// Runs a script to its end and returns its output.
    pub(crate) fn run(&mut self, text: &str) -> Result<String, String> {
        let (block, output) = self.write_script(text);
        let (block, to) = (block.display(), output.display());
        let status = self.execute(&format!(". '{block}' >'{to}' 2>&1 </dev/null; echo $?"));
        let printed = read(&output);
        match status.as_deref() {
            Ok("0") => Ok(printed),
            Ok(code) => Err(format!("exit code {code}, having printed\n{printed}")),
            Err(why) => Err(format!("{why}, having printed\n{printed}")),
        }
    }

    /// Starts a script that runs until it is [ended](Self::end).
    pub(crate) fn start_live(&mut self, text: &str) -> Result<Live, String> {
        let (block, output) = self.write_script(text);
        let (block, to) = (block.display(), output.display());
        // Job control gives it a process group, as a terminal would.
        let start = format!("set -m; ( . '{block}' ) >'{to}' 2>&1 </dev/null & set +m; echo $!");
        let group = self.execute(&start)?;
        let group = group.parse().map_err(|_| format!("no job: {group}"))?;
        Ok(Live { group, output })
    }

    /// Waits until the output of a live script matches a pattern.
    pub(crate) fn wait_for(&self, live: &Live, pattern: &str) -> Result<(), String> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let printed = read(&live.output);
            if matches(pattern, &printed) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("not in time, having printed\n{printed}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends a live script and returns its output.
    pub(crate) fn end(&mut self, live: &Live) -> Result<String, String> {
        let group = live.group;
        // SIGTERM, because processes that a shell started in the background ignore SIGINT.
        self.execute(&format!("kill -- -{group}; wait {group}; echo 'ended'"))?;
        Ok(read(&live.output))
    }

    fn write_script(&mut self, text: &str) -> (PathBuf, PathBuf) {
        self.scripts += 1;
        let block = self.directory.join(format!("blocks/{}.sh", self.scripts));
        fs::write(&block, text).unwrap();
        let output = block.with_extension("out");
        (block, output)
    }

    fn execute(&mut self, command: &str) -> Result<String, String> {
        // If the shell has ended, there is no reply, and `recv_timeout` reports that.
        let _ = writeln!(self.commands, "{command}");
        self.replies.recv_timeout(self.timeout).map_err(|error| {
            // A script that hangs would block those behind it.
            let _ = kill_process_group(Pid::from_child(&self.shell), Signal::KILL);
            match error {
                RecvTimeoutError::Timeout => "it did not end in time".to_owned(),
                RecvTimeoutError::Disconnected => "the shell has ended".to_owned(),
            }
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let shell = Pid::from_child(&self.shell);
        let _ = kill_process_group(shell, Signal::KILL);
        let _ = self.shell.wait();
        for pid in processes_in(&self.directory) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Returns the processes whose current directory is this directory or below it.
pub(crate) fn processes_in(directory: &Path) -> Vec<Pid> {
    let directory = directory.canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|process| {
        fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&directory))
    });
    inside
        .filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn read(output: &Path) -> String {
    let bytes = fs::read(output).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
