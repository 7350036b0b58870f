//! Load over HTTP: one thread, many connections, kept open or one for each request.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::Context as _;
use socket2::Type;

use super::flight::{Asked, Kind};
use super::guard::{Guard, Guarded};
use super::message;
use super::pace::Nanos;
use super::run::{self, Run, Walk};
use super::tally::Held;
use crate::sources::{Intent, Sources};
use crate::system::{Poller, Wake};

/// One connection, open or not.
struct Connection {
    source: usize,
    stream: Option<Guarded>,
    /// Whether the stream has answered before: then it may have been closed since, which is no error.
    has_answered: bool,
    /// Whether one before has answered: the first has no session to go on with, and its handshake is not counted.
    has_met: bool,
    request: Vec<u8>,
    written: usize,
    response: Vec<u8>,
    asked: Option<Asked>,
}

/// The connections, and what they share.
struct Load<'a> {
    from: Sources,
    guard: Guard,
    keep_alive: bool,
    path: &'a str,
    poller: Poller,
    walks: Vec<Walk>,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// Where responses are read to first.
    read: Box<[u8]>,
}

/// Runs the load.
pub(crate) fn run(run: &mut Run<'_>, from: Sources, keep_alive: bool) -> anyhow::Result<()> {
    let options = run.options;
    let sources = usize::from(options.shape.sources);
    let connections = usize::from(options.connections);
    let mut load = Load {
        from,
        guard: Guard::new(options.tls, connections)?,
        keep_alive,
        path: &options.path,
        poller: Poller::new()?,
        walks: (0..sources).map(|at| Walk::new(run.population.of(at).len(), options.fill)).collect(),
        connections: (0..connections).map(|at| Connection::new(at % sources)).collect(),
        idle: (0..connections).rev().collect(),
        read: vec![0; 64 << 10].into(),
    };
    TcpStream::connect(options.target).with_context(|| format!("cannot reach {}", options.target))?;
    run::drive(run, &mut load)
}

impl Connection {
    fn new(source: usize) -> Self {
        Self {
            source,
            stream: None,
            has_answered: false,
            has_met: false,
            request: Vec::new(),
            written: 0,
            response: Vec::new(),
            asked: None,
        }
    }
}

impl run::Load for Load<'_> {
    fn is_settled(&self) -> bool {
        self.idle.len() == self.connections.len()
            && self.walks.iter().all(|walk| !walk.is_fill() || walk.is_over())
    }

    /// Starts what is due on connections that have nothing to do; answers how many requests.
    fn ask(&mut self, run: &mut Run<'_>, now: Nanos) -> anyhow::Result<usize> {
        let mut asked = 0;
        // A connection whose source has nobody left to announce stays idle.
        for at in (0..self.idle.len()).rev() {
            if run.pace.due(now) == 0 {
                break;
            }
            let token = self.idle[at];
            let connection = &mut self.connections[token];
            let source = connection.source;
            let Some(peer) = self.walks[source].turn() else { continue };
            self.idle.swap_remove(at);
            let is_scrape = run.draws_scrape();
            let kind = if is_scrape { Kind::Scrape } else { Kind::Announce };
            connection.asked = Some(Asked { kind, peer, due: run.pace.take(now), sent: now });
            connection.request.clear();
            let said = run.said(source, peer);
            message::write_request(
                &mut connection.request,
                (self.path, self.from.target()),
                &said,
                is_scrape,
                self.keep_alive,
            );
            self.start(run, token)?;
            asked += 1;
        }
        Ok(asked)
    }

    /// Something changed on a connection.
    fn hear(&mut self, run: &mut Run<'_>, token: usize, _now: Nanos) -> anyhow::Result<()> {
        let connection = &self.connections[token];
        if connection.asked.is_none() {
            // Closed while nobody asked anything, or a late word of a stream that is gone.
            return Ok(());
        }
        if connection.written < connection.request.len() {
            return self.write(run, token);
        }
        self.read(run, token)
    }

    /// Counts what was sent before `then` as lost.
    fn give_up(&mut self, run: &mut Run<'_>, then: Nanos) {
        for (token, connection) in self.connections.iter_mut().enumerate() {
            let Some(asked) = connection.asked.take_if(|asked| asked.sent < then) else { continue };
            connection.stream = None;
            self.idle.push(token);
            if self.walks[connection.source].repeat(asked.peer) {
                run.tally.repeated += 1;
            } else {
                run.tally.lost(asked.due);
            }
        }
    }

    fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }
}

impl Load<'_> {
    /// Sends the request of a connection from its first byte on, connecting first if need be.
    fn start(&mut self, run: &mut Run<'_>, token: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[token];
        connection.written = 0;
        connection.response.clear();
        if connection.stream.is_none() {
            let stream = self.guard.wrap(token, connect(self.from, connection.source)?)?;
            self.poller.watch(&stream, token, Wake::Changes)?;
            connection.stream = Some(stream);
            connection.has_answered = false;
            let now = run.now();
            run.tally.connections += u64::from(run.tally.holds(now));
        }
        self.write(run, token)
    }

    fn write(&mut self, run: &mut Run<'_>, token: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[token];
        let Some(stream) = &mut connection.stream else { return Ok(()) };
        match stream.write(&connection.request[connection.written..]) {
            Ok(written) => connection.written += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return self.fail(run, token, &error.to_string()),
        }
        Ok(())
    }

    fn read(&mut self, run: &mut Run<'_>, token: usize) -> anyhow::Result<()> {
        loop {
            let connection = &mut self.connections[token];
            let Some(stream) = &mut connection.stream else { return Ok(()) };
            let is_end = match stream.read(&mut self.read) {
                Ok(0) => true,
                Ok(len) => {
                    connection.response.extend_from_slice(&self.read[..len]);
                    false
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return self.fail(run, token, &error.to_string()),
            };
            match message::read_response(&connection.response, is_end) {
                Ok(Some(response)) => {
                    self.finish(run, token, &response);
                    return Ok(());
                }
                Ok(None) if is_end => return self.fail(run, token, "closed before the response"),
                Ok(None) => {}
                Err(text) => return self.fail(run, token, text),
            }
        }
    }

    /// The response is there.
    fn finish(&mut self, run: &mut Run<'_>, token: usize, response: &message::Response) {
        let connection = &mut self.connections[token];
        let Some(asked) = connection.asked.take() else { return };
        let now = run.now();
        match &response.refusal {
            Some(text) => run.tally.error(now, || text.clone()),
            None => {
                let held = match asked.kind {
                    Kind::Scrape => Held::Counts,
                    _ => Held::Peers(response.peers),
                };
                run.tally.reply(asked.due, now, held, response.bytes);
            }
        }
        if let Some(resumed) = connection.stream.as_ref().and_then(Guarded::is_resumed)
            && !connection.has_answered
            && connection.has_met
        {
            run.tally.shook_hands(now, resumed);
        }
        (connection.has_answered, connection.has_met) = (true, true);
        if !self.keep_alive || !response.keep_alive {
            connection.stream = None;
        }
        self.idle.push(token);
    }

    /// The connection broke. A request on one that was good before is made again on a new one: the tracker may
    /// close an idle connection at any time (RFC 9112, 9.3.1).
    fn fail(&mut self, run: &mut Run<'_>, token: usize, text: &str) -> anyhow::Result<()> {
        let connection = &mut self.connections[token];
        connection.stream = None;
        if connection.has_answered && connection.response.is_empty() {
            return self.start(run, token);
        }
        if let Some(asked) = connection.asked.take() {
            let now = run.now();
            run.tally.error(now, || text.to_owned());
            run.tally.repeated += u64::from(self.walks[connection.source].repeat(asked.peer));
            self.idle.push(token);
        }
        Ok(())
    }
}

fn connect(from: Sources, source: usize) -> anyhow::Result<TcpStream> {
    let socket = from.socket(Type::STREAM, Intent::Good, u16::try_from(source)?)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&from.target().into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", from.target())),
    }
    Ok(socket.into())
}
