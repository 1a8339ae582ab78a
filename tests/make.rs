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
            ".ci/host",
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
        let (done, said, noted) = self.run(arguments);
        let keelson = noted.iter().filter_map(|line| line.strip_prefix("keelson ")).map(str::to_owned);
        (done, said, keelson.collect())
    }

    /// The same, with each time that any of the stand-ins was run.
    fn run(&self, arguments: &[&str]) -> (bool, String, Vec<String>) {
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
        (output.status.success(), said, read(&notes).lines().map(str::to_owned).collect())
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
fn up_asks_the_kernel_before_anything_is_installed_or_built() {
    let checkout = Checkout::new("host");
    let source = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests"));
    checkout.program(".ci/host", &read(&source.join(".ci/host")));
    checkout.program("src/node/up/abilities.txt", &read(&source.join("src/node/up/abilities.txt")));
    let refuses = |word: &str| {
        let text = format!("#!/bin/sh\ncase \"$*\" in *{word}*) echo 'not permitted' >&2; exit 1 ;; esac\n");
        checkout.program("tools/bin/unshare", &text);
    };
    // Whichever programs this machine has, the attempts are made.
    for program in ["ip", "nft"] {
        checkout.program(&format!("tools/bin/{program}"), NOTE);
    }
    let check = |user: u32, arguments: &[&str], expected: &str| {
        checkout.user(user);
        let (done, said, noted) = checkout.run(&[&["up"], arguments].concat());
        assert!(said.contains(expected), "make up {arguments:?}: {said}");
        assert_eq!((done, noted.is_empty()), (expected.is_empty(), !expected.is_empty()), "{noted:?}");
    };
    refuses("true");
    check(0, &[], "host: the kernel refuses network namespaces (not permitted), and nothing was changed: ");
    check(0, &["NODES=0"], "refuses network namespaces");
    check(0, &["NODES=0", "ARGS=--network loopback"], "");
    check(0, &["NODES=0", "ARGS=--network=loopback"], "");
    check(1000, &[], "");
    check(1000, &["ARGS=--network bridge"], "need root");
    check(1000, &["ARGS=--nodes 1"], "need root");
    refuses("veth");
    check(0, &[], "refuses bridges and virtual cables (not permitted)");
    refuses("masquerade");
    check(0, &[], "refuses address translation by nftables (not permitted)");
    check(0, &["NODES=0"], "");
    refuses("nothing");
    check(0, &[], "");
    check(1000, &["NODES=1"], "need root, and nothing was changed: run it as root, or without NODES");

    // Of what cannot be tried yet, the kernel's options tell.
    checkout.program("src/node/up/abilities.txt", "nodes|flying|WINGS TAIL|not-installed-yet --up\n");
    for (options, expected) in [
        ("CONFIG_WINGS=m\nCONFIG_TAIL=y", ""),
        ("CONFIG_WINGS=m\n# CONFIG_TAIL is not set", "refuses flying (it was built without CONFIG_TAIL)"),
        ("", ""),
    ] {
        checkout.program("tools/bin/zcat", &format!("#!/bin/sh\nprintf '{options}'\n"));
        check(0, &[], expected);
    }
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
