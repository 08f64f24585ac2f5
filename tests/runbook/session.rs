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

use crate::notation::matches;

/// A shell that runs one text after another, in a directory of its own.
pub(crate) struct Session {
    shell: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    directory: PathBuf,
    texts: usize,
    within: Duration,
}

/// A text that runs beside the others.
pub(crate) struct Live {
    /// Its process group.
    group: i32,
    output: PathBuf,
}

impl Session {
    /// Starts bash by a command that has its environment; each text has to end `within` so long.
    pub(crate) fn start(mut bash: Command, directory: &Path, within: Duration) -> Self {
        fs::create_dir(directory.join("blocks")).unwrap();
        bash.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut shell = bash.spawn().unwrap();
        let (tell, answers) = channel();
        let lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Self {
            commands: shell.stdin.take().unwrap(),
            shell,
            answers,
            directory: directory.to_owned(),
            texts: 0,
            within,
        }
    }

    /// Runs a text to its end, and returns what it printed.
    pub(crate) fn run(&mut self, text: &str) -> Result<String, String> {
        let (block, output) = self.write_down(text);
        let (block, to) = (block.display(), output.display());
        let status = self.ask(&format!(". '{block}' >'{to}' 2>&1 </dev/null; echo $?"));
        let printed = read(&output);
        match status.as_deref() {
            Ok("0") => Ok(printed),
            Ok(code) => Err(format!("exit code {code}, having printed\n{printed}")),
            Err(why) => Err(format!("{why}, having printed\n{printed}")),
        }
    }

    /// Starts a text that runs until it is [ended](Self::end).
    pub(crate) fn start_live(&mut self, text: &str) -> Result<Live, String> {
        let (block, output) = self.write_down(text);
        let (block, to) = (block.display(), output.display());
        // Job control gives it a process group, as a terminal would.
        let start = format!("set -m; ( . '{block}' ) >'{to}' 2>&1 </dev/null & set +m; echo $!");
        let group = self.ask(&start)?;
        let group = group.parse().map_err(|_| format!("no job: {group}"))?;
        Ok(Live { group, output })
    }

    /// Waits until a live text has printed what the pattern says.
    pub(crate) fn wait_for(&self, live: &Live, pattern: &str) -> Result<(), String> {
        let deadline = Instant::now() + self.within;
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

    /// Ends a live text, and returns all that it has printed.
    pub(crate) fn end(&mut self, live: &Live) -> Result<String, String> {
        let group = live.group;
        // A Ctrl-C's signal is ignored by all below a program that was started in the background.
        self.ask(&format!("kill -- -{group}; wait {group}; echo 'it ended'"))?;
        Ok(read(&live.output))
    }

    fn write_down(&mut self, text: &str) -> (PathBuf, PathBuf) {
        self.texts += 1;
        let block = self.directory.join(format!("blocks/{}.sh", self.texts));
        fs::write(&block, text).unwrap();
        let output = block.with_extension("out");
        (block, output)
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        // Without a shell there is no answer, which says enough.
        let _ = writeln!(self.commands, "{command}");
        self.answers.recv_timeout(self.within).map_err(|error| {
            // What hangs would hold up all that comes behind it as well.
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

/// The processes that work in a directory or below it.
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
