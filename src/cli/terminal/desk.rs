//! The sockets that a browser comes back to: requests are heard until one of them brings the authority's word, and its browser is
//! answered when it is known how the sign-in ended.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::callback::{AuthorityWord, CallbackRules, TurnedAway, is_visit};
use super::page::{EndPages, SignInEnd, turned_away};
use crate::tasks::Tasks;

/// The largest head that is read, in bytes, and what it is read into.
const HEAD: usize = 32 * 1024;
const HEADERS: usize = 64;

/// How long a head may take, and a connection with all that is waited for meanwhile.
const HEAD_TIME: Duration = Duration::from_secs(10);
const VISIT_TIME: Duration = Duration::from_secs(150);

/// How many connections there are at a time. A browser opens some that it never uses, and others are for others to open.
const VISITS: usize = 32;

/// How long the browser may take to fetch its last page.
const LAST_PAGE: Duration = Duration::from_secs(3);

/// How long an accept loop waits when the system has no socket left.
const RECOVER: Duration = Duration::from_millis(100);

/// Where a sign-in is waited for.
#[derive(Debug)]
pub(super) struct SignInDesk {
    shared: Arc<DeskShared>,
    words: mpsc::Receiver<AuthorityWord>,
    end: watch::Sender<Option<SignInEnd>>,
    tasks: Tasks,
}

#[derive(Debug)]
struct DeskShared {
    rules: CallbackRules,
    pages: EndPages,
    /// Whether the authority's word has come: there is one.
    heard: AtomicBool,
    words: mpsc::Sender<AuthorityWord>,
    end: watch::Receiver<Option<SignInEnd>>,
    /// The browser has its last page.
    shown: Notify,
}

/// One connection.
#[derive(Debug, Default)]
struct Visit {
    stop: CancellationToken,
    /// It brought the authority's word, or fetches the last page: it gives its place to nobody.
    stays: AtomicBool,
    /// What it was answered is the last that the browser asks for.
    is_last: AtomicBool,
}

// === impl SignInDesk ===

impl SignInDesk {
    /// Listens from now on.
    pub(super) fn open(sockets: Vec<TcpListener>, rules: CallbackRules, pages: EndPages) -> io::Result<Self> {
        let (sender, words) = mpsc::channel(1);
        let (end, ended) = watch::channel(None);
        let heard = AtomicBool::new(false);
        let shared = Arc::new(DeskShared { rules, pages, heard, words: sender, end: ended, shown: Notify::new() });
        let tasks = Tasks::default();
        for socket in sockets {
            let socket = tokio::net::TcpListener::from_std(socket)?;
            tasks.background("sign-in listener", accept(socket, Arc::clone(&shared), tasks.clone()));
        }
        Ok(Self { shared, words, end, tasks })
    }

    /// Waits for the authority's word.
    pub(super) async fn word(&mut self) -> AuthorityWord {
        match self.words.recv().await {
            Some(word) => word,
            // Not while `shared` is here.
            None => std::future::pending().await,
        }
    }

    /// Tells the browser how it ended, and stays until that was shown, but not for long.
    pub(super) async fn close(self, end: SignInEnd) {
        self.end.send_replace(Some(end));
        if self.shared.heard.load(Ordering::Acquire) {
            let _in_time = tokio::time::timeout(LAST_PAGE, self.shared.shown.notified()).await;
        }
        self.tasks.stop(Duration::ZERO).await;
    }
}

/// Serves whoever comes. Where there are too many, the oldest goes: an idle one must not keep the browser out.
async fn accept(socket: tokio::net::TcpListener, shared: Arc<DeskShared>, tasks: Tasks) {
    let mut visits: VecDeque<Arc<Visit>> = VecDeque::new();
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(RECOVER).await;
            continue;
        };
        // Whoever has ended holds no clone any more.
        visits.retain(|visit| Arc::strong_count(visit) > 1);
        if visits.len() >= VISITS {
            let oldest = visits.iter().position(|visit| !visit.stays.load(Ordering::Acquire));
            if let Some(visit) = oldest.and_then(|at| visits.remove(at)) {
                visit.stop.cancel();
            }
        }
        let visit = Arc::new(Visit::default());
        visits.push_back(Arc::clone(&visit));
        tasks.awaited("sign-in visit", serve(stream, Arc::clone(&shared), visit));
    }
}

/// One request, and the end of its connection.
async fn serve(stream: TcpStream, shared: Arc<DeskShared>, visit: Arc<Visit>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let (shared, visit) = (&shared, &visit);
        async move { Ok::<_, Infallible>(shared.answer(&head, visit).await) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_headers(HEADERS).max_header_size(HEAD).max_buf_size(HEAD * 2);
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let _ended = visit.stop.run_until_cancelled(tokio::time::timeout(VISIT_TIME, connection)).await;
    if visit.is_last.load(Ordering::Acquire) {
        shared.shown.notify_one();
    }
}

// === impl DeskShared ===

impl DeskShared {
    async fn answer(&self, head: &Parts, visit: &Visit) -> Response<Full<Bytes>> {
        if let Err(away) = self.rules.admits(head) {
            return turned_away(away);
        }
        let ended = *self.end.borrow();
        if let Some(end) = ended.filter(|_| is_visit(head) && self.pages.is_here(head.uri.path())) {
            visit.stays.store(true, Ordering::Release);
            visit.is_last.store(true, Ordering::Release);
            return EndPages::ended(end);
        }
        match self.rules.judge(head) {
            Err(away) => turned_away(away),
            Ok(word) => self.hear(word, visit).await,
        }
    }

    /// The first word is the only one.
    async fn hear(&self, word: AuthorityWord, visit: &Visit) -> Response<Full<Bytes>> {
        if self.heard.swap(true, Ordering::AcqRel) {
            return turned_away(TurnedAway(StatusCode::BAD_REQUEST, "This sign-in has been answered already."));
        }
        visit.stays.store(true, Ordering::Release);
        // There is room for it: it is the only one.
        let _given = self.words.try_send(word);
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        let (response, is_last) = self.pages.send_on(ended.unwrap_or(SignInEnd::Bad));
        visit.is_last.store(is_last, Ordering::Release);
        response
    }
}
