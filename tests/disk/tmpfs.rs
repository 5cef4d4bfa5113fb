//! A small disk of the test's own, in a mount namespace of its own: nobody else sees it, and it goes with its holder.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::process::program;

pub struct Tmpfs {
    /// Holds the namespace.
    holder: Child,
    /// Whether the namespace is one of users too.
    unprivileged: bool,
    point: TempDir,
}

impl Tmpfs {
    /// Mounts one of the given size; `None`, and a word on the error output, where this test may not mount.
    pub async fn mount(mebibytes: u32) -> Option<Self> {
        for unprivileged in [false, true] {
            if let Some(mounted) = Self::try_mount(mebibytes, unprivileged).await {
                return Some(mounted);
            }
        }
        // Past the harness, which would keep it to itself.
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN on a real disk: no mount namespace may be made here; tests/disk/faults.rs does the same on the fault engine"
        );
        None
    }

    async fn try_mount(mebibytes: u32, unprivileged: bool) -> Option<Self> {
        let point = tempfile::tempdir().unwrap();
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m tmpfs \"$0\" && echo mounted && exec sleep 3600"
        );
        let mut command = Command::new("unshare");
        if unprivileged {
            command.args(["--user", "--map-root-user"]);
        }
        let mut holder = command
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .arg(point.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut said = String::new();
        let output = holder.stdout.take()?;
        BufReader::new(output).read_line(&mut said).await.ok()?;
        (said == "mounted\n").then_some(Self {
            holder,
            unprivileged,
            point,
        })
    }

    /// Where it is mounted, as those within see it.
    pub fn inside(&self) -> &Path {
        self.point.path()
    }

    /// The same place as this process reaches it.
    pub fn outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id().unwrap()));
        root.join(self.inside().strip_prefix("/").unwrap())
    }

    /// Takes up so much of it.
    pub fn fill(&self, mebibytes: usize) {
        std::fs::write(self.outside().join("filler"), vec![1; mebibytes << 20]).unwrap();
    }

    /// Takes up all that is left of it.
    pub fn fill_to_the_brim(&self) {
        use std::io::Write;
        let mut filler = std::fs::File::create(self.outside().join("filler")).unwrap();
        while filler.write_all(&[1; 4 << 10]).is_ok() {}
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.outside().join("filler")).unwrap();
    }

    pub async fn make_read_only(&self) {
        let mut command = self.enter("mount");
        command.args(["-o", "remount,ro"]).arg(self.inside());
        assert!(command.status().await.unwrap().success());
    }

    /// The node, to run within.
    pub fn node(&self, args: &[&str]) -> Command {
        let mut command = self.enter(program().to_str().unwrap());
        command
            .arg("--data-dir")
            .arg(self.inside().join("data"))
            .args(["--listen", "127.0.0.1:0"])
            .args(args);
        command
    }

    fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().unwrap().to_string();
        command.args(["--target", &target, "--mount"]);
        if self.unprivileged {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
            .args(["--wd=/", "--", program])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}
