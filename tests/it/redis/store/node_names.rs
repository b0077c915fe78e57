//! A cluster that announces addresses while its certificates have names.

use tokend::store::{NodeNames, Note, RedisSettings, Topology};

use super::{LONG, Store, settings, urls};
use crate::support::redis::{Certificates, Cluster, RedisServer};

/// What `check` says, reason and remedy.
async fn refusal(settings: &RedisSettings) -> (String, String) {
    let problem = Store::open(settings).shared.prove().await.expect_err("a problem");
    (problem.reason, problem.remedy)
}

fn named(cluster: &Cluster, left_out: Option<usize>, host: &str) -> NodeNames {
    let mut names = NodeNames::default();
    for (_, node) in cluster.nodes.iter().enumerate().filter(|(index, _)| Some(*index) != left_out) {
        let (announced, name) = (format!("127.0.0.1:{}", node.port()), format!("{host}:{}", node.port()));
        names.add(&announced, &name).expect("an entry");
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_announces_addresses_is_reached_by_the_names_of_its_nodes() {
    let certificates = Certificates::of(&["localhost"]);
    let cluster = Cluster::start_with(RedisServer::options().tls(&certificates)).await;
    let access = RedisSettings {
        ca_file: Some(certificates.ca()),
        client_cert: Some(certificates.client()),
        client_key: Some(certificates.client_key()),
        ..settings(Topology::Cluster(urls(&cluster.urls()[..1])))
    };
    let node = |index: usize| format!("127.0.0.1:{}", cluster.nodes[index].port());
    // Without names each node is named as the cluster announces it, with both ways out. The one that is asked does not know its own
    // address, and a replica that has nothing is not announced.
    let (reason, remedy) = refusal(&access).await;
    for index in [1, 2] {
        let entry = format!("\"{}\": \"NAME:{}\"", node(index), cluster.nodes[index].port());
        assert!(reason.contains(&node(index)) && remedy.contains(&entry), "{reason} {remedy}");
    }
    assert!(remedy.contains("`cluster-announce-hostname NAME`") && remedy.contains("cluster.node_names: {"), "{remedy}");
    // One that is not listed is refused by name, and no other.
    let but_one = RedisSettings { node_names: named(&cluster, Some(1), "localhost"), ..access.clone() };
    let (reason, remedy) = refusal(&but_one).await;
    assert!(reason.ends_with(&format!("reached: {} (`node_names` does not list it)", node(1))), "{reason}");
    assert!(remedy.contains("cluster-announce-hostname"), "{remedy}");
    // A name that no certificate has.
    let wrong = RedisSettings { node_names: named(&cluster, None, "127.0.0.1"), ..access.clone() };
    let (reason, _) = refusal(&wrong).await;
    assert!(reason.contains(&format!("{} (`node_names` calls it 127.0.0.1:{})", node(1), cluster.nodes[1].port())), "{reason}");
    // All of them: what is written, on whichever node, is read, and messages are heard.
    let all = RedisSettings { node_names: named(&cluster, None, "localhost"), ..access };
    let store = Store::open(&all);
    assert_eq!(store.shared.prove().await, Ok(vec![]));
    store.until_writes_work().await;
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    store.shared.listen(move |event| drop(sender.send(event)));
    assert!(tokio::time::timeout(super::PATIENCE, heard.recv()).await.is_ok(), "the subscription is there");
    for number in 0..20 {
        let key = format!("tokend:{{{number}}}:x");
        assert_eq!(store.shared.set(Note { key: &key, value: b"1", ttl: LONG }).await, Ok(()), "{key}");
        assert_eq!(store.get(&key).await, Some(b"1".to_vec()), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_announces_names_needs_no_list() {
    let certificates = Certificates::of(&["localhost"]);
    let options = RedisServer::options().tls(&certificates);
    let options = options.config("cluster-announce-hostname", "localhost").config("cluster-preferred-endpoint-type", "hostname");
    let cluster = Cluster::start_with(options).await;
    let settings = RedisSettings {
        ca_file: Some(certificates.ca()),
        client_cert: Some(certificates.client()),
        client_key: Some(certificates.client_key()),
        ..settings(Topology::Cluster(urls(&cluster.urls()[..1])))
    };
    assert_eq!(Store::open(&settings).shared.prove().await, Ok(vec![]));
}
