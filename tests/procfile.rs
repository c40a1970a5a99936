//! The Procfile, run as a process manager runs it: the release process to its end, then the others side by side.

use crate::support::{Aisha, Db, Fal, S3, Telegram, procfile_line};

/// Name and command of each process.
fn processes() -> Vec<(String, String)> {
    let procfile = std::fs::read_to_string("Procfile").expect("read the Procfile");
    let lines = procfile
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        line.split_once(": ")
            .map(|(name, command)| (name.to_owned(), command.to_owned()))
    };
    lines.map(|line| split(line).expect("name: command")).collect()
}

#[tokio::test]
async fn the_procfile_runs_the_whole_system_from_plain_variables() {
    let (db, s3, fal, telegram) = (
        Db::empty().await,
        S3::new().await,
        Fal::new().await,
        Telegram::new().await,
    );
    let start = |command: &str| -> Aisha {
        let launch = procfile_line(command)
            .env("DATABASE_URL", db.url())
            .env("PORT", "0");
        launch.envs(s3.env()).envs(fal.env()).envs(telegram.env()).start()
    };
    let mut processes = processes().into_iter();
    let (name, release) = processes.next().expect("a first line");
    assert_eq!(name, "release");
    let (code, output) = start(&release).finish().await;
    assert_eq!(code, Some(0), "{output}");

    let mut running = processes
        .map(|(name, command)| (name, start(&command)))
        .collect::<Vec<_>>();
    assert_eq!(
        running.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["web", "bot", "worker"]
    );
    for ((_, process), ready) in
        running
            .iter()
            .zip(["Web is listening on", "The bot is running", "is claiming jobs"])
    {
        process.line(ready).await;
    }
    for (_, process) in &mut running {
        process.terminate();
    }
    for (name, process) in &mut running {
        let (code, output) = process.finish().await;
        assert_eq!(code, Some(0), "{name}: {output}");
    }
}
