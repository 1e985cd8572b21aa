//! Whether this machine is virtual: what a hypervisor pauses needs longer timers.

use std::io;
use std::path::Path;

use super::files;

/// The hypervisor's name, or whatever says that there is one. `root` is `/`.
pub(super) fn found(root: &Path) -> Option<String> {
    let line = |path: &str| {
        let text = files::read(&root.join(path)).ok()?;
        let line = text.lines().next()?.trim_matches(['\0', ' ']).to_owned();
        Some(line).filter(|line| !line.is_empty())
    };
    let maker = || line("sys/class/dmi/id/sys_vendor");
    if let Some(kind) = line("sys/hypervisor/type") {
        return Some(kind);
    }
    if let Some(kind) = line("proc/device-tree/hypervisor/compatible") {
        return Some(kind);
    }
    let flags = files::read(&root.join("proc/cpuinfo")).unwrap_or_default();
    let flagged = flags
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    flagged.then(|| maker().unwrap_or_else(|| "the processor says so".to_owned()))
}

/// Writes `timers = "vm"` into the `[cluster]` of a configuration, unless it has timers. Returns
/// whether it did.
pub(super) fn with_vm_timers(path: &Path) -> io::Result<bool> {
    let text = files::read(path)?;
    let table: toml::Table = text.parse().map_err(io::Error::other)?;
    let written = table.get("cluster").and_then(|cluster| cluster.get("timers")).is_some();
    let header =
        text.lines().position(|line| line.split('#').next().map(str::trim) == Some("[cluster]"));
    let Some(header) = header.filter(|_| !written) else { return Ok(false) };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(header + 1, "timers = \"vm\"");
    files::rewrite(path, &(lines.join("\n") + "\n"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the file system is what is tested")]

    use std::fs;

    use super::*;

    #[test]
    fn a_flag_of_the_processor_tells_and_its_maker_is_named() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(found(root.path()), None);
        fs::create_dir_all(root.path().join("proc")).expect("made");
        fs::create_dir_all(root.path().join("sys/class/dmi/id")).expect("made");
        fs::write(root.path().join("sys/class/dmi/id/sys_vendor"), "QEMU\n").expect("written");
        fs::write(root.path().join("proc/cpuinfo"), "flags\t: fpu vme\n").expect("written");
        assert_eq!(found(root.path()), None);
        let flags = "processor: 0\nflags\t: fpu hypervisor vme\n";
        fs::write(root.path().join("proc/cpuinfo"), flags).expect("written");
        assert_eq!(found(root.path()).as_deref(), Some("QEMU"));
    }

    #[test]
    fn timers_are_written_once_and_never_over_others() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("x.toml");
        fs::write(&file, "# mine\n[cluster] # all of us\nid = \"x\"\n").expect("written");
        assert!(with_vm_timers(&file).expect("writable"));
        assert!(!with_vm_timers(&file).expect("writable"));
        let text = fs::read_to_string(&file).expect("there");
        assert_eq!(text, "# mine\n[cluster] # all of us\ntimers = \"vm\"\nid = \"x\"\n");
    }
}
