//! What is to be seen of the pods: from inside, and in their status.

/// What a script prints inside a pod.
pub struct Seen {
    pub pod: &'static str,
    pub script: &'static str,
    pub expected: &'static str,
}

const fn seen(pod: &'static str, script: &'static str, expected: &'static str) -> Seen {
    Seen { pod, script, expected }
}

const PRIVILEGES: &str = "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | tr '\\t' ' '";

/// Limits lie elsewhere in each version of control groups.
const LIMITS: &str = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes 2>/dev/null; \
    cat cpu.max cpu/cpu.cfs_quota_us 2>/dev/null | cut -d ' ' -f 1";

pub const SEEN: &[Seen] = &[
    seen("limits", LIMITS, "50331648\n25000\n"),
    seen("user", "id", "uid=1001 gid=1002 groups=1002,1003,1004\n"),
    seen("user", PRIVILEGES, "CapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n"),
    seen(
        "user",
        "touch /x 2>&1; touch /scratch/x; stat -c %u:%g /scratch/x; df -k /scratch | awk 'NR == 2 { print $1, $2 }'",
        "touch: /x: Read-only file system\n1001:1004\ntmpfs 1024\n",
    ),
    seen("capable", PRIVILEGES, "CapEff: 0000000000001000\nCapBnd: 0000000000001000\nNoNewPrivs: 0\n"),
    seen(
        "environment",
        "echo $NAME $NAMESPACE $TIER $NOTE $ACCOUNT $CPU_M $CPUS $MEMORY $REQUEST_MI",
        "environment default front of a pod default 250 1 50331648 16\n",
    ),
    seen(
        "environment",
        "echo $COLOR $color $PASSWORD $KEY_password ${MISSING-none} $JOINED",
        "blue blue hunter2 hunter2 none environment-blue-x-$(NONE)-$(NAME)-443\n",
    ),
    seen(
        "volumes",
        "stat -L -c '%a %n' /keys/deep/word /keys/other /items/etc/app.conf /all/color; ls /items",
        "440 /keys/deep/word\n400 /keys/other\n644 /items/etc/app.conf\n440 /all/color\netc\n",
    ),
    seen(
        "volumes",
        "for file in /keys/deep/word /items/etc/app.conf /etc/one.conf /pod/labels /pod/note /pod/memory; \
         do echo \"$(cat $file)\"; done",
        "hunter2\na = 1\na = 1\ntier=\"front\"\nof a pod\n48\n",
    ),
    seen(
        "volumes",
        "echo $(cat /all/color) $(cat /all/word) $(cat /all/name); \
         cut -d . -f 2 /all/token | base64 -d 2>/dev/null | grep -o '\"aud\":\\[\"[a-z]*\"\\]'",
        "blue hunter2 volumes\n\"aud\":[\"somebody\"]\n",
    ),
    seen(
        "volumes",
        "df -k /memory | awk 'NR == 2 { print $1, $2 }'; touch /deep/x /named/x; ls /disk/a/b/x /disk/of-volumes/x",
        "tmpfs 2048\n/disk/a/b/x\n/disk/of-volumes/x\n",
    ),
    seen(
        "volumes",
        "ls /host/cluster.json; touch /host/x /settings/x 2>&1; true",
        "/host/cluster.json\ntouch: /host/x: Read-only file system\ntouch: /settings/x: Read-only file system\n",
    ),
];

/// What a pod's status comes to show.
pub struct Lives {
    pub pod: &'static str,
    pub shown: &'static [&'static str],
}

const fn lives(pod: &'static str, shown: &'static [&'static str]) -> Lives {
    Lives { pod, shown }
}

pub const LIVES: &[Lives] = &[
    lives(
        "always",
        &["Running", "main CrashLoopBackOff back-off 10s restarting failed", "after Completed=0"],
    ),
    lives("asked", &["Running", "hears running #0", "page running #1 after Error=3"]),
    lives(
        "deadline",
        &["Failed DeadlineExceeded Pod was active on the node longer than the specified deadline"],
    ),
    lives("liveness", &["Running", "main running #1 after Error=3"]),
    lives(
        "messages",
        &["Failed", "file Error=1 told #0", "logs Error=1 one\ntwo\n #0", "none Completed=0  #0"],
    ),
    lives("never", &["Failed", "main Error=9  #0", "other Completed=0  #0"]),
    lives(
        "never-root",
        &[
            "Pending",
            "main CreateContainerConfigError container's runAsUser breaks non-root policy (pod: \"never-root_",
        ],
    ),
    lives("no-config", &["Pending", "main CreateContainerConfigError configmap \"absent\" not found"]),
    lives(
        "no-image",
        &[
            "Pending",
            "main ErrImageNeverPull Container image \"keelson/nobody:1\" is not present with pull policy of Never",
        ],
    ),
    lives(
        "no-program",
        &["Failed", "main StartError=128 ", "\"/no/such/program\"", "no such file or directory"],
    ),
    lives("no-start", &["main CrashLoopBackOff", "after Error=137"]),
    lives("no-steps", &["Failed", "first Error=4", "main PodInitializing"]),
    lives(
        "not-root",
        &[
            "Pending",
            "main CreateContainerConfigError container has runAsNonRoot and image will run as root (pod: \"not-root_default(",
            ")\", container: main)",
        ],
    ),
    lives("on-failure", &["Succeeded", "main Completed=0  #1 after Error=7", "other Completed=0  #0"]),
    // Docker's engine loses the news of a kill now and then when it has much to do, for good (20.10 with control groups of
    // version 1: 4 of 60). Of one that begins again it is told sooner or later.
    lives("oom", &["Failed", "main ", "=137"]),
    lives("oom-again", &["Running", "main CrashLoopBackOff", "after OOMKilled=137"]),
    lives(
        "steps",
        &[
            "Succeeded",
            "first Completed=0  #0",
            "sidecar Completed=0  #0",
            "second Completed=0  #0",
            "main Completed=0  #0",
        ],
    ),
];
