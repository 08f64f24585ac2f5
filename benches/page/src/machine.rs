use std::{fs, process::Command, thread};

use crate::error::Error;

/// Returns a table that describes the machine.
pub(crate) fn table() -> Result<String, Error> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = thread::available_parallelism().map(|cores| cores.to_string());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        Some(format!(
            "{} GiB",
            kilobytes.trim().parse::<u64>().ok()? >> 20
        ))
    });
    let rows = [
        ("processor", model),
        ("cores", cores.ok()),
        ("memory", memory),
        ("system", output_of("uname", &["-sr"])),
        ("compiler", output_of("rustc", &["--version"])),
        (
            "commit",
            output_of("git", &["describe", "--always", "--dirty"]),
        ),
        ("day", output_of("date", &["-u", "+%Y-%m-%d"])),
    ];
    let mut table = "| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        let value = value.ok_or_else(|| Error::new(format!("the {name} is unknown")))?;
        table += &format!("| {name} | {value} |\n");
    }
    Ok(table)
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let stdout = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| stdout.trim().to_owned())
}
