//! One master: everything put together, and its end.
//!
//! # Flow
//! data directory -> who am I ([`crate::identity`]) -> stores -> replica -> Raft -> (init or join) -> API.
//! Then it waits for a signal or a failure.
//!
//! # Guarantees
//! - On SIGTERM or SIGINT leadership is handed over before the API stops, within bounds, exit code 0.
//! - When Raft's core, the disk or the log flusher fails, it logs why and exits with a code that is
//!   not 0: it never serves on.

mod agents;
mod retention;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use apiserver::Backend;
use apiserver::chain::admission::Settings;
use apiserver::limits::CONNECTIONS_MAX;
use apiserver::server::Around;
use apiserver::whatif::Planner;
use base::env;
use base::files;
use base::ids::ClusterId;
use base::shutdown::{self, Shutdown};
use base::telemetry::Metrics;
use projection::Controller;
use projection::rules::Rules;
use raft::transport::tls::{self, TlsTransport};
use raft::{Member, PeerService};
use replica::Replica;
use storage::error::REPLACE_MASTER;
use storage::rocks::{IN_USE_MAX, RocksOptions, RocksStores};
use storage::snapshot::Stores;
use tokio::net::TcpListener;

use crate::address::HostPort;
use crate::behaviour::Behaviour;
use crate::cli::until_signalled;
use crate::cluster::orders::Peers;
use crate::cluster::{self, Cluster, ask};
use crate::data_dir::DataDir;
use crate::identity::{Identity, Stage, Start, Wanted, decide, look};
use crate::pki::Authority;
use crate::sizes::Sizes;
use crate::{controllers, failure, init, open_files};
use retention::HISTORY_BYTES_MAX;

/// How long a port may stay in use. A process that was killed gives back its lock first, and its ports among
/// the files that follow.
const PORT_MAX: Duration = Duration::from_secs(2);

/// Pause before it is tried again.
const PORT_RETRY: Duration = Duration::from_millis(20);

/// How long a master that failed may take to say why, and to end in order.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// How long a stop waits for another master to take leadership over: more than the longest election.
const HAND_OVER_DEADLINE: Duration = Duration::from_secs(1);

/// Runs a master to its end.
///
/// # Errors
/// When it cannot start, or something it cannot live without failed.
pub fn run(directory: &Path, wanted: Wanted, sizes: Sizes, behaviour: &Behaviour) -> anyhow::Result<()> {
    let acting = Acting {
        table: behaviour.table()?,
        settings: Arc::new(behaviour.admission()?),
        rules: behaviour.rules(),
    };
    storage::mutant::check().map_err(anyhow::Error::msg)?;
    failure::exit_on_core_panic();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // A connection that was told of one answer waits its turn behind the requests that were answered with
    // it, and writes all of them at once.
    builder.disable_lifo_slot();
    builder.worker_threads(env::workers(usize::MAX));
    let runtime = builder.thread_name("api").enable_all().build().context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let shutdown = until_signalled()?;
        // Boxed: the largest future of the program, on the smallest stack.
        Box::pin(live(directory, wanted, sizes, acting, shutdown)).await
    });
    // Tasks that still run must not hold up the exit: what they do is nothing that was acknowledged.
    runtime.shutdown_background();
    ended
}

async fn live(
    directory: &Path,
    wanted: Wanted,
    sizes: Sizes,
    acting: Acting,
    mut shutdown: Shutdown,
) -> anyhow::Result<()> {
    let data = DataDir::new(directory);
    files::make_directory(data.path())?;
    let lock = data.lock();
    let locked = tokio::select! {
        biased;
        () = shutdown.wait() => return Ok(()),
        locked = files::lock(&lock, IN_USE_MAX) => locked?,
    };
    let Some(_lock) = locked else {
        bail!("another process runs the master in {}: stop it first", data.path().display());
    };
    let identity = tokio::select! {
        biased;
        // Cancel-safe: an attempt to join that is cut off is taken up by the next start.
        () = shutdown.wait() => return Ok(()),
        identity = identify(&data, wanted) => identity?,
    };
    let (name, directory) = (identity.name.clone(), data.path().to_owned());
    let served = match Master::start(data, identity, sizes, acting).await {
        Ok(master) => master.serve(&mut shutdown).await,
        Err(error) => Err(error),
    };
    let served = served.map_err(|error| with_commands(error, &name, &directory));
    match &served {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!(error = failure::chain(error), "failed"),
    }
    served
}

/// Says with which commands a damaged master is replaced: what finds the damage knows neither its name nor
/// where its data lies.
fn with_commands(error: anyhow::Error, name: &str, directory: &Path) -> anyhow::Error {
    let told = failure::chain(&error);
    if !told.contains(REPLACE_MASTER) {
        return error;
    }
    let directory = directory.display().to_string().replace('\'', r"'\''");
    let remedy = format!(
        "this master's data can no longer be trusted: run `kctl cluster remove {name}`, then \
         `rm -r '{directory}'`, and join it as a new master with a token from `kctl cluster add` \
         (`keelson up` brings its own)"
    );
    anyhow!(told.replace(REPLACE_MASTER, &remedy))
}

/// Finds out, or makes, who this master is.
async fn identify(data: &DataDir, wanted: Wanted) -> anyhow::Result<Identity> {
    let found = look(data)?;
    let begun = wanted.bootstrap.is_some();
    match decide(found, wanted)? {
        Start::Init(master, cluster, settings) => init::prepare(data, master, cluster, settings),
        Start::Join(master, through, token) => ask::join(data, master, through, &token).await,
        Start::Resume(identity) => {
            if begun {
                tracing::info!("the data directory is initialized: --init and --join are ignored");
            }
            Ok(identity)
        }
    }
}

/// What a master does by itself, and to what is written.
struct Acting {
    table: Vec<Controller>,
    settings: Arc<Settings>,
    rules: Rules,
}

/// A master whose Raft runs.
struct Master {
    data: DataDir,
    identity: Identity,
    cluster: cluster::Handle,
    api: TcpListener,
    metrics: Metrics,
    peers: shutdown::Trigger,
    connections_max: usize,
    acting: Acting,
}

impl Master {
    async fn start(
        data: DataDir,
        mut identity: Identity,
        sizes: Sizes,
        acting: Acting,
    ) -> anyhow::Result<Self> {
        let id = identity.cluster()?;
        let authority =
            data.authority()?.context("pki/ca.key is missing in the data directory: put it back")?;
        let connections_max = open_files::of_master(open_files::raise());
        // Before anything is opened: a port in use is the commonest mistake.
        let api = listen("API", &identity.api).await?;
        let peers = listen("peer", &identity.peer).await?;
        let stores = open_stores(&data, sizes.rocks()).await?;
        if !identity.started {
            identity.started = true;
            data.save_identity(&identity)?;
        }
        let metrics = Metrics::new();
        let shown = peer_identity(id, &identity, &authority)?;
        let raft = raft_options(&identity, &shown, sizes, Arc::clone(&stores));
        let Core { replica, service, peers } = start_core(raft, shown, stores, peers, &metrics).await?;
        let cluster = Arc::new(Cluster { id, node: identity.node, authority, replica });
        service.attach(Arc::clone(&cluster));
        tracing::info!(name = identity.name, node = identity.node, cluster = %id, "started");
        Ok(Self { data, identity, cluster, api, metrics, peers, connections_max, acting })
    }

    /// Serves until the shutdown or a failure.
    async fn serve(mut self, shutdown: &mut Shutdown) -> anyhow::Result<()> {
        let cluster = Arc::clone(&self.cluster);
        tokio::select! {
            biased;
            // None of these is taken up again: whichever ends first ends the master's way in.
            () = shutdown.wait() => {
                cluster.replica.raft().shutdown().await;
                return Ok(());
            }
            reason = failed(&cluster.replica) => bail!("{reason}"),
            entered = self.enter() => entered?,
        }
        self.serve_api(shutdown).await
    }

    /// Becomes a voting member, if it is not one yet.
    async fn enter(&mut self) -> anyhow::Result<()> {
        match self.identity.stage.clone() {
            Stage::Member => return Ok(()),
            Stage::Init => self.found().await?,
            Stage::Join { through } => self.cluster.become_voter(&self.identity.name, &through).await?,
        }
        self.data.save_member(&mut self.identity)?;
        tracing::info!("votes");
        Ok(())
    }

    /// Makes the cluster out of this one master.
    async fn found(&self) -> anyhow::Result<()> {
        match self.cluster.replica.raft().initialize().await {
            // Not pristine: an earlier start came this far.
            Ok(()) | Err(raft::InitializeError::NotPristine(_)) => {}
            Err(error) => return Err(anyhow!(error).context("making the cluster's log")),
        }
        init::record(&self.cluster, &self.data, &self.identity).await?;
        let moment = self.cluster.replica.linearizable().await.context("reading the new cluster's state")?;
        for txn in apiserver::bootstrap::missing(&moment.state, &self.identity.settings) {
            self.cluster.replica.propose(txn).await.context("writing what every cluster has")?;
        }
        let moment = self.cluster.replica.linearizable().await.context("reading the new cluster's state")?;
        for txn in apiserver::standing::founding(&moment.state, self.cluster.authority.certificate_pem())? {
            self.cluster.replica.propose(txn).await.context("writing what every cluster has")?;
        }
        Ok(())
    }

    async fn serve_api(self, shutdown: &mut Shutdown) -> anyhow::Result<()> {
        let Self { data, identity, cluster, api, metrics, peers: _peers, connections_max, acting } = self;
        let (stop, stopping) = shutdown::channel();
        let backend: Arc<dyn Backend> = Arc::new(cluster.replica.clone());
        let mut options = apiserver::Options {
            connections_max,
            ..api_options(&identity, &cluster, api, metrics.clone(), &acting)?
        };
        controllers::say_alive(&acting.table, &backend, &identity.name, &stopping);
        let running = controllers::start(
            acting.table.clone(),
            acting.rules,
            &cluster.replica,
            Arc::clone(&backend),
            Arc::clone(&acting.settings),
            metrics,
            stopping.clone(),
        );
        let mut running = running.context("starting the controllers")?;
        options.guarded = options.guarded.merge(apiserver::whatif::routes(Planner {
            world: running.world.clone(),
            controllers: acting.table,
            settings: Arc::clone(&acting.settings),
            backend: Arc::clone(&backend),
        }));
        let service = apiserver::Service::new(options, Arc::clone(&backend), stopping.clone());
        let mut certifying = env::spawn(certify(backend, Arc::clone(&cluster), stopping.clone()));
        let mut serving = env::spawn(service.run(stopping));
        let replica = &cluster.replica;
        tokio::select! {
            biased;
            // Cancel-safe, all of them: they only wait.
            () = shutdown.wait() => {}
            reason = failed(replica) => bail!("{reason}"),
            removed = cluster.until_removed(&identity.name) => return Err(removed),
            never = cluster.keep_kubeconfig(&data) => match never {},
            ended = &mut serving => bail!("the API server ended: {ended:?}"),
            _ = &mut running.ended => bail!("the controllers ended"),
            // Without it no agent could join.
            ended = &mut certifying => bail!("the signing of certificates ended: {ended:?}"),
        }
        tracing::info!("stopping");
        // Leadership first, while requests are still served: then nobody waits for an election.
        let leads = hand_over(replica).await;
        stop.fire();
        serving.await.context("draining the API server")?;
        // A leader that nobody takes over from (all masters are being stopped, mostly) would only wait
        // for that once more. Nothing is lost by an end without it: what was acknowledged is synced.
        if !leads {
            replica.raft().shutdown().await;
        }
        Ok(())
    }
}

/// Signs certificates that are asked for, and keeps what tokens are signed with.
async fn certify(backend: Arc<dyn Backend>, cluster: cluster::Handle, stopping: Shutdown) {
    let authority = cluster.authority.certificate_pem().to_owned();
    let standing = apiserver::standing::run(Arc::clone(&backend), authority, stopping.clone());
    futures::join!(standing, apiserver::certificates::run(backend, cluster, stopping));
}

/// Hands leadership over, if this master leads. Returns whether it still does.
async fn hand_over(replica: &Replica) -> bool {
    if !replica.raft().leadership().borrow().am_leader {
        return false;
    }
    let transferred = env::timeout(HAND_OVER_DEADLINE, replica.raft().transfer(None)).await;
    let outcome = match &transferred {
        Ok(Ok(leader)) => format!("to master {leader}"),
        Ok(Err(error)) => format!("to nobody: {error}"),
        Err(_) => "to nobody in time".to_owned(),
    };
    tracing::info!(outcome, "handed leadership over");
    !matches!(transferred, Ok(Ok(_)))
}

/// Resolves with the reason when something failed that the master cannot live without.
async fn failed(replica: &Replica) -> String {
    let raft = replica.raft();
    let reason = tokio::select! {
        biased;
        reason = raft.failed() => reason,
        reason = replica.failed() => reason,
    };
    failure::leave_within(LAST_WORDS_MAX);
    reason
}

fn api_options(
    identity: &Identity,
    cluster: &cluster::Handle,
    listener: TcpListener,
    telemetry: Metrics,
    acting: &Acting,
) -> anyhow::Result<apiserver::Options> {
    let mut names = vec![identity.api.host.clone(), identity.peer.host.clone(), identity.name.clone()];
    names.extend(identity.names.iter().cloned());
    let (chain, key) = cluster.authority.api_server(&names)?.der()?;
    Ok(apiserver::Options {
        listener,
        connections_max: CONNECTIONS_MAX,
        tls: apiserver::tls::config(chain, key, cluster.authority.certificate().clone())?,
        telemetry,
        around: Around {
            leader: cluster::leader_url(Arc::clone(cluster)),
            dialer: agents::dialer(&cluster.authority)?,
            settings: Arc::clone(&acting.settings),
        },
        guarded: cluster::http::for_masters(Arc::clone(cluster)),
        open: cluster::http::for_anybody(Arc::clone(cluster)),
    })
}

async fn listen(what: &str, address: &HostPort) -> anyhow::Result<TcpListener> {
    let deadline = env::monotonic() + PORT_MAX;
    loop {
        match TcpListener::bind((address.host.as_str(), address.port)).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && env::monotonic() < deadline => {
                env::sleep(PORT_RETRY).await;
            }
            bound => return bound.with_context(|| format!("listening on {address} for {what} connections")),
        }
    }
}

async fn open_stores(data: &DataDir, options: RocksOptions) -> anyhow::Result<Arc<dyn Stores>> {
    let directory = data.store();
    let opened = env::blocking(move || RocksStores::open(&directory, options)).await;
    Ok(Arc::new(opened.with_context(|| format!("opening the store in {}", data.store().display()))?))
}

/// What of a master runs before it serves its API.
struct Core {
    replica: Replica,
    service: Arc<Peers>,
    /// Ends the peer transport when dropped: the last thing of all.
    peers: shutdown::Trigger,
}

/// Starts Raft and what stands on it, and lets the peers in.
async fn start_core(
    raft: raft::Options,
    shown: tls::Identity,
    stores: Arc<dyn Stores>,
    listener: TcpListener,
    metrics: &Metrics,
) -> anyhow::Result<Core> {
    let options = replica::Options {
        retention: retention::rules(),
        history_bytes_max: HISTORY_BYTES_MAX,
        levels: state::LEVELS,
    };
    let opening = Arc::clone(&stores);
    let opened = env::blocking(move || replica::open(opening, options)).await;
    let (opened, machine) = opened.context("restoring the state from the store")?;
    let service = Arc::new(Peers::new(opened.peer_service()));
    let counted = Arc::clone(&stores);
    let read = move || counted.written_bytes();
    metrics.register_parts("written_bytes", "Bytes written to disk, by part of the stores", read);
    let transport = Arc::new(TlsTransport::new(&shown)?);
    let raft = raft::start(
        raft,
        stores,
        machine,
        transport,
        Arc::clone(&service) as Arc<dyn PeerService>,
        metrics.clone(),
    );
    let raft = raft.await?;
    let (peers, stopping) = shutdown::channel();
    let serving = tls::serve(listener.into_std()?, shown, raft.frames(), stopping);
    raft.runtime().spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "serving other masters failed");
        }
    });
    Ok(Core { replica: opened.attach(raft), service, peers })
}

fn raft_options(
    identity: &Identity,
    shown: &tls::Identity,
    sizes: Sizes,
    stores: Arc<dyn Stores>,
) -> raft::Options {
    let me = Member { name: identity.name.clone(), peer: identity.peer.to_string(), api: identity.api.url() };
    raft::Options {
        snapshot_after_bytes: sizes.snapshot_after_bytes,
        log_kept_bytes: sizes.log_kept_bytes,
        space_is_low: Arc::new(move || stores.space().is_low),
        ..raft::Options::new(shown.cluster, shown.node, me)
    }
}

/// What this master shows to others, and expects of them.
fn peer_identity(id: ClusterId, identity: &Identity, authority: &Authority) -> anyhow::Result<tls::Identity> {
    let (chain, key) = authority.peer(identity.node, std::slice::from_ref(&identity.peer.host))?.der()?;
    let ca = authority.certificate().clone();
    Ok(tls::Identity { cluster: id, node: identity.node, chain, key, ca })
}

#[cfg(test)]
mod tests {
    use storage::StorageError;

    use super::*;

    #[test]
    fn damage_is_told_with_the_commands_that_replace_this_master() {
        let damage = || StorageError::Corrupt {
            file: "/data/store/log/000004.log".into(),
            what: "checksum mismatch".to_owned(),
            remedy: REPLACE_MASTER,
        };
        let told =
            with_commands(anyhow!(damage()).context("opening the store"), "master-2", Path::new("/it's"));
        let told = failure::chain(&told);
        let beginning =
            "opening the store: /data/store/log/000004.log: checksum mismatch; this master's data";
        assert!(told.starts_with(beginning), "{told}");
        for command in ["`kctl cluster remove master-2`", r"`rm -r '/it'\''s'`", "`keelson up`"] {
            assert!(told.contains(command), "{command} is missing in {told}");
        }
        let other = with_commands(anyhow!("the port is in use"), "master-2", Path::new("/data"));
        assert_eq!(failure::chain(&other), "the port is in use");
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_about_to_be_given_back_is_waited_for() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = held.local_addr().expect("bound").port();
        let address: HostPort = format!("127.0.0.1:{port}").parse().expect("an address");
        let refused = listen("API", &address).await.expect_err("held to the end");
        assert!(failure::chain(&refused).contains("Address already in use"), "{refused:#}");
        let given_back = async {
            env::sleep(PORT_MAX / 2).await;
            drop(held);
        };
        let (listening, ()) = futures::join!(listen("API", &address), given_back);
        listening.expect("free by then");
    }
}
