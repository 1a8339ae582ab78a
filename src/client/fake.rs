//! An API server that tests script: some masters with one store behind them, in memory on virtual time or on loopback.
//!
//! It knows no kinds. What is created is kept as it came; patches of every sort are merge patches; a pod that has a
//! node goes in two steps, as with Kubernetes. Each request may be met with an [`Act`].

mod loopback;
mod selector;
mod store;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::env;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch as published;

use crate::credentials::Identity;
use crate::error::Error;
use crate::send::LEADER_HEADER;
use crate::server::Server;
use crate::transport::{Body, SendError, Transport};
use selector::Selector;
use store::{Failure, Path, Store};
pub use stream::Break;

/// How long a request takes in memory.
const LATENCY: Duration = Duration::from_millis(1);

/// A request, as a script sees it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which master was asked, from 0.
    pub master: usize,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
}

impl Ask {
    /// Whether a stream of changes is asked for.
    pub fn is_watch(&self) -> bool {
        self.path.contains("watch=true")
    }
}

/// What a master does with a request.
#[derive(Clone, Debug, Default)]
pub enum Act {
    /// What it should.
    #[default]
    Serve,
    /// There is no connection.
    Refuse,
    /// The connection is lost before anything is done.
    Lose,
    /// The connection is lost after it was done.
    LoseAnswer,
    /// This status, and nothing is done.
    Answer(u16),
    /// It does what it should, after a while.
    Slow(Duration),
    /// The stream of a watch goes wrong.
    Break(Break),
}

type Script = Box<dyn FnMut(&Ask) -> Act + Send>;

/// The masters. Cheap to clone.
#[derive(Clone)]
pub struct Fake(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    /// Changes with every write, and with every master that dies.
    changed: published::Sender<u64>,
}

struct World {
    store: Store,
    script: Script,
    servers: Vec<Server>,
    is_alive: Vec<bool>,
    leader: Option<usize>,
    asked: Vec<Ask>,
    certificates: Vec<Vec<u8>>,
}

impl Fake {
    /// That many masters, in memory; nobody leads.
    ///
    /// # Panics
    /// Never: the addresses are well-formed.
    pub fn new(masters: usize) -> Self {
        let name = |index| format!("http://master-{}:80", index + 1).parse().expect("an address");
        let world = World {
            store: Store::default(),
            script: Box::new(|_| Act::Serve),
            servers: (0..masters).map(name).collect(),
            is_alive: vec![true; masters],
            leader: None,
            asked: Vec::new(),
            certificates: Vec::new(),
        };
        Self(Arc::new(Shared { world: Mutex::new(world), changed: published::Sender::new(0) }))
    }

    /// A client of these masters that reaches them in memory.
    ///
    /// # Errors
    /// When there are none.
    pub fn client(&self) -> Result<crate::Client, Error> {
        crate::Client::over(Box::new(self.clone()), self.servers())
    }

    /// Where the masters are.
    pub fn servers(&self) -> Vec<Server> {
        self.0.world.lock().servers.clone()
    }

    /// What is done with requests from now on.
    pub fn script(&self, script: impl FnMut(&Ask) -> Act + Send + 'static) {
        self.0.world.lock().script = Box::new(script);
    }

    /// Who leads from now on: what the heads of answers say.
    pub fn set_leader(&self, master: Option<usize>) {
        self.0.world.lock().leader = master;
    }

    /// Ends a master: what is open breaks, and it cannot be reached. Or brings it back.
    pub fn set_alive(&self, master: usize, is_alive: bool) {
        self.0.world.lock().is_alive[master] = is_alive;
        self.0.changed.send_modify(|count| *count += 1);
    }

    /// One master more, that nobody was told of. Returns which.
    ///
    /// # Panics
    /// Never: the address is well-formed.
    pub fn add_master(&self) -> usize {
        let mut world = self.0.world.lock();
        let index = world.servers.len();
        world.servers.push(format!("http://master-{}:80", index + 1).parse().expect("an address"));
        world.is_alive.push(true);
        index
    }

    /// Creates or replaces the object at a path, past all scripts. Returns its revision.
    ///
    /// # Panics
    /// When the path is none of an object.
    pub fn put(&self, path: &str, object: Value) -> u64 {
        let revision = {
            let path = Path::of(path).expect("the path of an object");
            self.0.world.lock().store.put(&path, object)
        };
        self.0.changed.send_modify(|count| *count += 1);
        revision
    }

    /// Removes the object at a path, if it is there.
    ///
    /// # Panics
    /// When the path is none of an object.
    pub fn remove(&self, path: &str) {
        let path = Path::of(path).expect("the path of an object");
        self.0.world.lock().store.remove(&path);
        self.0.changed.send_modify(|count| *count += 1);
    }

    /// The object at a path.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.world.lock().store.get(&Path::of(path)?).cloned()
    }

    /// All objects of a collection.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let Some(path) = Path::of(path) else { return Vec::new() };
        self.0.world.lock().store.objects(&path).cloned().collect()
    }

    /// Forgets the history: a watch from before now is refused.
    pub fn compact(&self) {
        self.0.world.lock().store.compact();
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Ask> {
        self.0.world.lock().asked.clone()
    }

    /// The certificates that clients showed on loopback, one for each connection. DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.0.world.lock().certificates.clone()
    }

    /// Waits until something changes that the caller looks at again then.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changed = self.0.changed.subscribe();
        while !condition(self) {
            // The sender lives as long as this does.
            let _ = changed.changed().await;
        }
    }

    async fn respond(&self, master: usize, request: Request<Bytes>) -> Result<Response<Body>, SendError> {
        let ask = Ask { master, method: request.method().clone(), path: request.uri().to_string() };
        let act = {
            let mut world = self.0.world.lock();
            world.asked.push(ask.clone());
            if world.is_alive[master] { (world.script)(&ask) } else { Act::Refuse }
        };
        match act {
            Act::Serve => Ok(self.serve(&ask, request.body(), Break::default())),
            Act::Break(broken) => Ok(self.serve(&ask, request.body(), broken)),
            Act::Refuse => Err(SendError::NotSent("connection refused".to_owned())),
            Act::Lose => Err(SendError::Lost("connection reset".to_owned())),
            Act::LoseAnswer => {
                drop(self.serve(&ask, request.body(), Break::default()));
                Err(SendError::Lost("connection reset".to_owned()))
            }
            Act::Answer(code) => Ok(whole(code, &failure(code, "scripted"))),
            Act::Slow(delay) => {
                env::sleep(delay).await;
                Ok(self.serve(&ask, request.body(), Break::default()))
            }
        }
    }

    fn serve(&self, ask: &Ask, body: &Bytes, broken: Break) -> Response<Body> {
        let (path, query) = ask.path.split_once('?').unwrap_or((&ask.path, ""));
        let query = selector::query(query);
        let mut response = match Path::of(path) {
            _ if path == "/keelson/v1/masters" => whole(200, &self.masters()),
            None => whole(404, &failure(404, "the server could not find the requested resource")),
            Some(path) if ask.is_watch() => self.watch(ask.master, path, &query, broken),
            Some(path) => {
                let answer = self.0.world.lock().store.serve(&ask.method, &path, &query, body);
                if ask.method != Method::GET {
                    self.0.changed.send_modify(|count| *count += 1);
                }
                answer.map_or_else(
                    |Failure(code, why)| whole(code, &failure(code, &why)),
                    |(code, value)| whole(code, &value),
                )
            }
        };
        let world = self.0.world.lock();
        let leader =
            world.leader.and_then(|leader| HeaderValue::from_str(&world.servers[leader].to_string()).ok());
        if let Some(leader) = leader {
            response.headers_mut().insert(LEADER_HEADER, leader);
        }
        response
    }

    fn masters(&self) -> Value {
        let world = self.0.world.lock();
        let masters: Vec<String> = world.servers.iter().map(Server::to_string).collect();
        json!({"masters": masters, "leader": world.leader.map(|leader| masters[leader].clone())})
    }

    fn watch(
        &self,
        master: usize,
        path: Path,
        query: &BTreeMap<String, String>,
        broken: Break,
    ) -> Response<Body> {
        let revision = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let floor = self.0.world.lock().store.floor();
        if revision < floor {
            return whole(410, &failure(410, "too old resource version"));
        }
        let selector = Selector::of(query);
        let events = stream::events(Arc::clone(&self.0), master, path, selector, revision, broken);
        Response::new(StreamBody::new(events).boxed_unsync())
    }
}

impl Transport for Fake {
    fn send(
        &self,
        server: &Server,
        request: Request<Bytes>,
    ) -> BoxFuture<'static, Result<Response<Body>, SendError>> {
        let (fake, master) = (self.clone(), self.servers().iter().position(|known| known == server));
        async move {
            env::sleep(LATENCY).await;
            let unknown = || SendError::NotSent("no such host".to_owned());
            fake.respond(master.ok_or_else(unknown)?, request).await
        }
        .boxed()
    }

    fn set_identity(&self, _: Option<&Identity>) -> Result<(), Error> {
        Ok(())
    }

    fn retain(&self, _: &[Server]) {}
}

fn failure(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message})
}

fn whole(code: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
