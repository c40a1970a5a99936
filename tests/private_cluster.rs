//! The private Postgres cluster starts, dies with its parent, survives a crash, and leaves nothing behind.

use std::path::{Path, PathBuf};

use aisha::dev::postgres::{ClusterOptions, Durability, KeptData, PostgresError, PrivateCluster};
use sqlx::{Connection as _, PgConnection};

use crate::support::{Aisha, Db, aisha, eventually};

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own() {
    let (one, other) = (Db::new().await, Db::new().await);
    assert_ne!(one.url(), other.url());
    let count = "select count(*) from users";
    sqlx::query("insert into users (telegram_id, language) values (1, 'en')")
        .execute(&one.pool)
        .await
        .unwrap();
    assert_eq!(
        sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&one.pool)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&other.pool)
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn a_killed_parent_takes_its_postgres_with_it() {
    let mut parent = aisha(["internal", "hold-cluster"]).start();
    let home = home_of(&parent).await;
    let postmaster = postmaster_of(&home);
    assert!(is_alive(postmaster));

    parent.kill();

    eventually("the server to follow its parent", async || {
        (!is_alive(postmaster)).then_some(())
    })
    .await;
    eventually("the sweeper to remove the directory", async || {
        (!home.exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_is_stopped_leaves_nothing_behind() {
    let mut parent = aisha(["internal", "hold-cluster"]).start();
    let home = home_of(&parent).await;
    let postmaster = postmaster_of(&home);

    parent.close_stdin();

    assert!(parent.exit().await.success(), "{}", parent.output());
    assert!(!is_alive(postmaster));
    assert!(!home.exists());
}

#[tokio::test]
async fn ctrl_c_in_the_terminal_does_not_reach_the_server() {
    let parent = aisha(["internal", "hold-cluster"]).start();
    let postmaster = postmaster_of(&home_of(&parent).await);
    let group =
        |pid: u32| rustix::process::getpgid(rustix::process::Pid::from_raw(pid.cast_signed())).unwrap();
    assert_ne!(group(postmaster), group(parent.pid()));
}

// Only on Linux, as below: macOS cannot tie a process to its parent.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_killed_demo_takes_its_roles_with_it() {
    let mut demo = aisha(["demo", "--json"]).start();
    let roles = eventually("web, worker and bot to run", async || {
        let roles = roles_of(demo.pid());
        (roles.len() == 3).then_some(roles)
    })
    .await;

    demo.kill();

    eventually("the roles to follow", async || {
        roles.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await;
}

/// The processes below `parent` that are roles of the product.
#[cfg(target_os = "linux")]
fn roles_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        // A process that ends meanwhile has no files any more.
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let is_role = |arguments: &str| {
            let role = arguments.split('\0').nth(1);
            role.is_some_and(|role| ["web", "worker", "bot"].contains(&role))
        };
        read("status").contains(&format!("\nPPid:\t{parent}\n")) && is_role(&read("cmdline"))
    })
    .collect()
}

// macOS cannot tie a process to its parent: there only the server follows, through its sweeper.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_a_test_starts_ends_with_the_test() {
    use std::os::unix::process::ExitStatusExt as _;
    // Checked before the thread ends: if it ends between the fork and the child's request for a signal, no signal is
    // sent.
    let a_test = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let process = aisha(["internal", "hold-cluster"]).start();
        runtime.block_on(process.line("postgres://"));
        process
    };
    let mut process = std::thread::spawn(a_test).join().unwrap();
    assert_eq!(
        process.exit().await.signal(),
        Some(rustix::process::Signal::KILL.as_raw()),
        "{}",
        process.output()
    );
}

#[tokio::test]
async fn a_start_sweeps_what_a_killed_run_left() {
    // Both are stopped: after this parent, neither the sweeper nor the server itself can tidy up.
    let mut parent = aisha(["internal", "hold-cluster"]).start();
    let home = home_of(&parent).await;
    for child in children_of(parent.pid()) {
        let child = rustix::process::Pid::from_raw(child.cast_signed()).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    }
    parent.kill();
    assert!(home.join("temporary").exists());

    let later = aisha(["internal", "hold-cluster"]).start();
    home_of(&later).await;

    assert!(!home.exists());
}

#[tokio::test]
async fn a_running_cluster_is_not_swept_by_the_start_of_another() {
    let one = aisha(["internal", "hold-cluster"]).start();
    let home = home_of(&one).await;
    let other = aisha(["internal", "hold-cluster"]).start();
    home_of(&other).await;
    assert!(is_alive(postmaster_of(&home)));
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_rows_survive_a_crash_of_the_server() {
    let binary = env!("CARGO_BIN_EXE_aisha");
    let start = move || PrivateCluster::start(ClusterOptions::durable(binary)).unwrap();
    let mut cluster = tokio::task::spawn_blocking(start).await.unwrap();
    let url = cluster.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept (n int); insert into kept values (7)")
        .execute(&mut connection)
        .await
        .unwrap();

    tokio::task::block_in_place(|| cluster.stop_immediate());
    assert!(sqlx::query("select 1").execute(&mut connection).await.is_err());
    assert!(PgConnection::connect(&url).await.is_err());
    tokio::task::block_in_place(|| cluster.start_again().unwrap());

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let kept: i32 = sqlx::query_scalar("select n from kept")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 7);
}

#[test]
fn a_kept_directory_is_found_again_and_belongs_to_one_process_at_a_time() {
    // Not in the target directory: under root, the server's user could not enter it.
    let parent = tempfile::Builder::new()
        .prefix("kept-cluster-")
        .tempdir_in("/var/tmp")
        .unwrap();
    std::fs::set_permissions(parent.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let directory = parent.path().join("a directory whose path is far too long for the address of a unix socket, which ends at a hundred bytes");
    let options = ClusterOptions {
        keep: KeptData::Directory(directory.clone()),
        durability: Durability::Fast,
        ..ClusterOptions::fast(env!("CARGO_BIN_EXE_aisha"))
    };
    let cluster = PrivateCluster::start(options.clone()).unwrap();
    let socket_dir = cluster.socket_dir().to_owned();
    let error = PrivateCluster::start(options.clone()).unwrap_err();
    assert!(matches!(error, PostgresError::InUse { .. }), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = |url: String, sql: &'static str| {
        runtime.block_on(async {
            sqlx::raw_sql(sql)
                .execute(&mut PgConnection::connect(&url).await?)
                .await
                .map(|_| ())
        })
    };
    run(cluster.url("postgres"), "create database again").unwrap();
    cluster.stop();

    let cluster = PrivateCluster::start(options).unwrap();
    run(cluster.url("again"), "select 1").unwrap();
    cluster.stop();
    assert!(directory.join("data/PG_VERSION").exists());
    assert!(!socket_dir.starts_with(&directory));
}

/// The directory of the cluster that this process runs.
async fn home_of(parent: &Aisha) -> PathBuf {
    let url = url::Url::parse(&parent.line("postgres://").await).unwrap();
    let (_, socket_dir) = url.query_pairs().find(|(name, _)| name == "host").unwrap();
    Path::new(&*socket_dir).parent().unwrap().to_owned()
}

fn postmaster_of(home: &Path) -> u32 {
    let text = std::fs::read_to_string(home.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

/// Whether a process runs. A zombie counts as dead.
fn is_alive(pid: u32) -> bool {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

fn children_of(parent: u32) -> Vec<u32> {
    let output = std::process::Command::new("ps")
        .args(["-A", "-o", "pid=,ppid="])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text
        .lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace));
    let children = pairs.filter(|(_, of)| of.trim() == parent.to_string());
    children.map(|(pid, _)| pid.trim().parse().unwrap()).collect()
}
