//! What `make up`, `make down` and `make clean` run, with stand-ins for the programs that they run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Notes its own name and arguments.
const NOTE: &str = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> \"$NOTES\"\n";

/// A checkout with nothing in it but the Makefile and stand-ins.
struct Checkout {
    directory: PathBuf,
}

impl Checkout {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("keelson-make-{}-{name}", std::process::id()));
        let checkout = Self { directory };
        let source = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests"));
        std::fs::create_dir_all(&checkout.directory).expect("make a directory");
        for file in ["Makefile", "Cargo.lock"] {
            std::fs::copy(source.join(file), checkout.directory.join(file)).expect("copy");
        }
        let programs = [
            ".ci/deps",
            ".ci/claim-target",
            ".ci/build-rocksdb",
            "tools/bin/cargo",
            "target/release/keelson",
            "target/release/kctl",
        ];
        programs.iter().for_each(|path| checkout.program(path, NOTE));
        checkout.user(0);
        checkout
    }

    fn program(&self, path: &str, text: &str) {
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("make a folder");
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("make it run");
    }

    /// Whom `id -u` names.
    fn user(&self, id: u32) {
        self.program("tools/bin/id", &format!("#!/bin/sh\necho {id}\n"));
    }

    fn note(&self, path: &str) {
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("make a folder");
        std::fs::write(path, "1\n").expect("write");
    }

    fn has(&self, path: &str) -> bool {
        self.directory.join(path).exists()
    }

    /// Whether `make` succeeded, what it said, and each time that `keelson` was run.
    fn make(&self, arguments: &[&str]) -> (bool, String, Vec<String>) {
        let notes = self.directory.join("notes");
        let _ = std::fs::remove_file(&notes);
        let mut make = Command::new("make");
        // What runs this test may be a make as well.
        for inherited in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MASTERS", "NODES", "DIR", "CARGO_BUILD_TARGET"]
        {
            make.env_remove(inherited);
        }
        make.arg("-C").arg(&self.directory).args(arguments).env("NOTES", &notes);
        let tools = self.directory.join("tools/bin");
        // Not every make lets its functions see what the Makefile adds to the path.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path)));
        make.env("PATH", path.expect("no folder's name has a colon"));
        make.env("KEELSON_TOOLS", self.directory.join("tools"));
        make.env("CARGO_TARGET_DIR", self.directory.join("target"));
        let output = make.output().expect("make is installed");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let noted = read(&notes);
        let keelson = noted.lines().filter_map(|line| line.strip_prefix("keelson ")).map(str::to_owned);
        (output.status.success(), said, keelson.collect())
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn up_asks_for_what_was_given_and_for_nodes_in_a_new_cluster_alone() {
    let checkout = Checkout::new("up");
    let check = |arguments: &[&str], expected: &str| {
        let (done, said, keelson) = checkout.make(&[&["up"], arguments].concat());
        assert!(done, "{said}");
        assert_eq!(keelson, [expected], "make up {arguments:?}");
    };
    check(&[], "up --dir .keelson --nodes 2 --sample");
    check(&["NODES=3", "MASTERS=1", "DIR=other"], "up --dir other --masters 1 --nodes 3 --sample");
    check(&["NODES=0"], "up --dir .keelson --nodes 0");
    check(
        &["ARGS=--node-monitor-grace-period 20s"],
        "up --dir .keelson --nodes 2 --sample --node-monitor-grace-period 20s",
    );
    checkout.user(1000);
    check(&[], "up --dir .keelson");
    // A cluster that is there goes on as it is, whoever asks.
    checkout.note(".keelson/cluster.json");
    for user in [0, 1000] {
        checkout.user(user);
        check(&[], "up --dir .keelson");
        check(&["NODES=4"], "up --dir .keelson --nodes 4 --sample");
        check(&["MASTERS=5"], "up --dir .keelson --masters 5");
    }
    assert_eq!(checkout.make(&["down"]).2, ["down --dir .keelson"]);
}

#[test]
fn clean_removes_a_clusters_data_and_never_from_below_its_processes() {
    let checkout = Checkout::new("clean");
    checkout.program("bin/keelson", NOTE);
    checkout.note(".keelson/cluster.json");
    checkout.note(".keelson/run/master-1.pid");
    let (done, said, keelson) = checkout.make(&["clean"]);
    assert!(done, "{said}");
    assert_eq!(keelson, ["down --dir .keelson"]);
    assert!(!checkout.has(".keelson") && !checkout.has("bin"));

    // A down that fails leaves everything as it is.
    checkout.program("bin/keelson", "#!/bin/sh\nexit 1\n");
    checkout.note(".keelson/cluster.json");
    assert!(!checkout.make(&["clean"]).0 && checkout.has(".keelson/cluster.json") && checkout.has("bin"));

    // So does a cluster that nobody can stop.
    std::fs::remove_dir_all(checkout.directory.join("bin")).expect("remove the programs");
    checkout.note(".keelson/run/master-1.pid");
    let (done, said, _) = checkout.make(&["clean"]);
    assert!(!done && checkout.has(".keelson/cluster.json"), "{said}");
    assert!(said.contains("run make build down first"), "{said}");
    std::fs::remove_file(checkout.directory.join(".keelson/run/master-1.pid")).expect("stop the master");
    let (done, said, _) = checkout.make(&["clean"]);
    assert!(done && !checkout.has(".keelson"), "{said}");
}
