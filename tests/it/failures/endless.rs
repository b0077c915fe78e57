//! An authority that answers with interim answers (1xx) for ever: its own calls end in time, and nobody else's wait for it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::support::{GRAPH, World};

/// A server that answers each connection with interim answers for as long as they are read.
fn endless() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let (mut head, interim) = ([0; 4096], b"HTTP/1.1 100 C\r\n\r\n".repeat(8192));
                if stream.read(&mut head).is_ok() {
                    while stream.write_all(&interim).is_ok() {}
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_interim_answer_stalls_no_other_app() {
    let world = World::changed(|yaml, files| {
        let secret = files.join("daemon.secret").display().to_string();
        let app = |number: u16| {
            format!(
                "  endless{number}: {{authority: \"http://127.0.0.1:{}/contoso.example\", insecure_http: true, client_id: c, \
                 credential: {{secret: {{file: {secret}}}}}}}\n",
                endless()
            )
        };
        let apps: String = (0..4).map(app).collect();
        yaml.replacen("apis:\n", &format!("{apps}apis:\n"), 1).replace("authority: {retry", "authority: {timeout: 4s, retry")
    })
    .await;
    let asked = (0..4).map(|number| world.app_token(json!({"app": format!("endless{number}"), "scopes": [GRAPH]})));
    let asked = futures_util::future::join_all(asked);
    let others = async {
        let mut worst = Duration::ZERO;
        for number in 0..40 {
            let began = tokio::time::Instant::now();
            world
                .app_token(json!({"app": "daemon", "scopes": [GRAPH], "client_claims": format!("{{\"a\":{number}}}")}))
                .await
                .token();
            worst = worst.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        worst
    };
    let began = tokio::time::Instant::now();
    let (answers, worst) = tokio::join!(
        async {
            let a = asked.await;
            (a, began.elapsed())
        },
        others
    );
    eprintln!("worst {worst:?}, ended after {:?}: {:?}", answers.1, answers.0.iter().map(|a| a.text.clone()).collect::<Vec<_>>());
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}
