//! The settings for FAL: its key, its hosts, and the URL that it calls back.

use super::{FAL_KEY, run, worker};

#[tokio::test]
async fn either_name_of_the_fal_key_counts_and_two_that_differ_are_refused() {
    let mut variables = worker();
    variables.retain(|variable| *variable != FAL_KEY);
    variables.push(("FAL_API_KEY", "id:hunter2"));
    assert_eq!(run(&["config", "check", "worker"], &variables).await.0, Some(0));
    variables.push(("FAL_KEY", "id:hunter3"));
    let (code, output) = run(&["config", "check", "worker"], &variables).await;
    assert_eq!(code, Some(78));
    assert!(
        output.contains("fal.key is set twice, differently: by FAL_KEY and by FAL_API_KEY"),
        "{output}"
    );
    assert!(!output.contains("hunter"), "{output}");
}

#[tokio::test]
async fn d09_test_mode_is_asked_for_and_never_speaks_to_fal_itself() {
    let mut variables = worker();
    variables.retain(|variable| *variable != FAL_KEY);
    variables.push(("AVATAR_TEST_MODE", "true"));
    let (code, output) = run(&["config", "check", "worker"], &variables).await;
    assert_eq!(code, Some(0), "{output}");
    variables.push(("FAL_QUEUE_URL", "https://queue.fal.run"));
    let (code, output) = run(&["config", "check", "worker"], &variables).await;
    assert_eq!(code, Some(78));
    assert!(
        output.contains("fal.queue_url") && output.contains("AVATAR_TEST_MODE"),
        "{output}"
    );
}

#[tokio::test]
async fn a_webhook_address_that_fal_cannot_reach_is_refused() {
    for unreachable in [
        "http://127.0.0.1:8000",
        "http://localhost",
        "https://10.1.2.3/hook",
        "http://[::1]:8000",
    ] {
        let variables = [worker(), vec![("FAL_WEBHOOK_URL", unreachable)]].concat();
        let (code, output) = run(&["config", "check", "worker"], &variables).await;
        assert_eq!(code, Some(78), "{unreachable}");
        assert!(output.contains("fal.webhook_url"), "{output}");
    }
    for fine in ["https://aisha.example.org", "https://aisha.example.org/hook?a=b"] {
        let variables = [worker(), vec![("FAL_WEBHOOK_URL", fine)]].concat();
        assert_eq!(
            run(&["config", "check", "worker"], &variables).await.0,
            Some(0),
            "{fine}"
        );
    }
}

#[tokio::test]
async fn fals_own_hosts_are_not_spoken_to_in_clear() {
    for (name, url) in [
        ("FAL_QUEUE_URL", "http://queue.fal.run"),
        ("FAL_REST_URL", "http://rest.fal.ai:8080"),
        ("FAL_API_URL", "http://api.fal.ai/x"),
        ("FAL_QUEUE_URL", "http://queue.falrun.com"),
        ("FAL_JWKS_URL", "http://rest.fal.ai/.well-known/jwks.json"),
    ] {
        let variables = [worker(), vec![(name, url)]].concat();
        let (code, output) = run(&["config", "check", "worker"], &variables).await;
        assert_eq!(code, Some(78), "{name}={url}: {output}");
        assert!(output.contains("https://"), "{output}");
    }
}
