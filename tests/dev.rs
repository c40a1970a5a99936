//! `aisha dev` and `aisha demo` as a newcomer meets them: started, stopped and
//! started again, in a directory of their own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Aisha, aisha, eventually};

/// `aisha dev` on free ports.
fn dev(directory: &Path, more: &[&str]) -> Aisha {
    let ports = ["--telegram-listen", "--fal-listen", "--listen"];
    let anywhere = ports.iter().flat_map(|port| [*port, "127.0.0.1:0"]);
    let arguments = ["dev"].into_iter().chain(anywhere).chain(more.iter().copied());
    aisha(arguments).dir(directory).start()
}

/// A person who uses the page of one run.
struct Page {
    url: String,
    http: reqwest::Client,
}

impl Page {
    async fn of(dev: &Aisha) -> Self {
        let line = dev.line("Play the user:").await;
        let url = line.split_whitespace().last().unwrap().trim_end_matches('/');
        Self {
            url: url.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/sim/{path}", self.url);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/sim/{path}", self.url);
        let sent = self.http.post(url).json(&body).send().await.unwrap();
        sent.json().await.unwrap()
    }

    /// Says /start. Returns the bot's next message.
    async fn start(&self, person: i64) -> Value {
        let said = self
            .post(&format!("users/{person}/text"), json!({ "text": "/start" }))
            .await;
        let after = &said["message_id"];
        let answers = format!("wait?chat_id={person}&from=bot&after={after}&timeout=30");
        self.get(&answers).await["messages"][0].clone()
    }

    async fn messages(&self, person: i64) -> Vec<Value> {
        let chat = self.get(&format!("chats/{person}")).await;
        chat["messages"].as_array().unwrap().clone()
    }
}

/// The directory in which this run keeps its rows. It is removed with the test, even if root's directory holds it.
async fn rows_of(dev: &Aisha) -> Removed {
    let line = dev.line("Rows:").await;
    Removed(line.split_whitespace().last().unwrap().into())
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn dev_stopped_or_killed_and_started_again_answers_and_knows_the_chat_until_it_is_to_forget() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = dev(directory.path(), &[]);
    let page = Page::of(&first).await;
    let _rows = rows_of(&first).await;
    let person = page.post("users", json!({ "first_name": "Lisa" })).await["id"]
        .as_i64()
        .unwrap();
    let greeting = page.start(person).await;
    assert_ne!(greeting["text"], Value::Null);
    first.terminate();
    first.exit().await;

    let mut second = dev(directory.path(), &[]);
    let page = Page::of(&second).await;
    assert_eq!(page.messages(person).await[1]["text"], greeting["text"]);
    assert_ne!(page.start(person).await["text"], Value::Null, "mute after a stop");
    let before = page.messages(person).await;
    second.kill();

    let mut third = dev(directory.path(), &[]);
    let page = Page::of(&third).await;
    assert_eq!(page.messages(person).await[..before.len()], before);
    assert_ne!(page.start(person).await["text"], Value::Null, "mute after a kill");
    // A shell must be able to read the printed line.
    let line = third.line("export DATABASE_URL=").await;
    let export = line.split_once("export").unwrap().1;
    let list = format!(
        "export{export}; exec '{}' queues list",
        env!("CARGO_BIN_EXE_aisha")
    );
    let shell = std::process::Command::new("/bin/sh")
        .args(["-c", &list])
        .env_clear()
        .output()
        .unwrap();
    assert!(shell.status.success(), "{shell:?}");
    third.interrupt();
    third.exit().await;

    let mut fresh = dev(directory.path(), &["--fresh"]);
    let page = Page::of(&fresh).await;
    fresh.line("Forgotten:").await;
    assert_eq!(page.get("users").await, json!([]));
    let newcomer = page.post("users", json!({})).await["id"].as_i64().unwrap();
    assert_ne!(page.start(newcomer).await["text"], Value::Null);
    fresh.terminate();
    fresh.exit().await;
}

#[tokio::test]
async fn removing_dot_dev_starts_over_wherever_the_rows_are() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = dev(directory.path(), &[]);
    let page = Page::of(&first).await;
    let _rows = rows_of(&first).await;
    let person = page.post("users", json!({})).await["id"].as_i64().unwrap();
    page.start(person).await;
    first.terminate();
    first.exit().await;
    std::fs::remove_dir_all(directory.path().join(".dev")).unwrap();

    let mut second = dev(directory.path(), &[]);
    let page = Page::of(&second).await;
    let person = page.post("users", json!({})).await["id"].as_i64().unwrap();
    assert_ne!(page.start(person).await["text"], Value::Null, "mute");
    second.terminate();
    second.exit().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_its_own_option_before_anything_is_started() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--telegram-listen", "--fal-listen", "--listen"] {
        let mut run = aisha(["dev", option, &address]).dir(directory.path()).start();
        let (code, output) = run.finish().await;
        assert_eq!(code, Some(69), "{output}");
        assert!(
            output.contains(&address) && output.contains(&format!("with {option}\n")),
            "{output}"
        );
        assert!(!directory.path().join(".dev").exists(), "something was started");
    }
    for verb in ["fal-simulator", "telegram-simulator"] {
        let (code, output) = aisha([verb, "--listen", &address]).start().finish().await;
        assert_eq!(code, Some(69), "{output}");
        assert!(
            output.contains(&address) && output.contains("--listen"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_postgres_that_was_named_and_is_none_is_refused_by_dev_and_demo() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["demo"][..], &["dev", "--listen", "127.0.0.1:0"]] {
        let run = aisha(
            arguments.iter().copied().chain(
                ["--telegram-listen", "127.0.0.1:0", "--fal-listen", "127.0.0.1:0"]
                    .into_iter()
                    .filter(|_| arguments[0] == "dev"),
            ),
        );
        let mut run = run
            .env("PG_BIN_DIR", "/opt/nothing")
            .dir(directory.path())
            .start();
        let (code, output) = run.finish().await;
        assert_eq!(code, Some(69), "{output}");
        assert!(output.contains("PG_BIN_DIR=/opt/nothing"), "{output}");
    }
}

#[tokio::test]
async fn a_demo_that_is_told_to_end_leaves_nothing_and_says_so() {
    type End = fn(&mut Aisha);
    let ends: [(&str, i32, End); 4] = [
        ("SIGINT", 130, Aisha::interrupt),
        ("SIGTERM", 143, Aisha::terminate),
        ("SIGHUP", 129, Aisha::hang_up),
        ("SIGQUIT", 131, Aisha::quit),
    ];
    for (number, (name, code, end)) in ends.into_iter().enumerate() {
        let files = tempfile::tempdir().unwrap();
        let mut demo = aisha(["demo"]).env("TMPDIR", files.path()).start();
        // At two different moments: while it starts, and while it trains.
        demo.line(["Training a", "Started Postgres", "photos loaded", "💬"][number])
            .await;
        let pid = demo.pid();
        end(&mut demo);
        let (ended, output) = demo.finish().await;
        assert_eq!(ended, Some(code), "{output}");
        assert!(
            output.contains(&format!("{name}: the demo's processes and files are gone.")),
            "{output}"
        );
        assert_eq!(
            std::fs::read_dir(files.path()).unwrap().count(),
            0,
            "{name} left files"
        );
        eventually("its children to be gone", async || {
            let children = std::process::Command::new("ps")
                .args(["-o", "pid=", "--ppid", &pid.to_string()])
                .output()
                .unwrap();
            children.stdout.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_photo_that_cannot_be_sent_is_named_before_anything_is_started() {
    let photos = tempfile::tempdir().unwrap();
    for number in 0..10 {
        let good = format!(
            "{}/tests/photos/portrait/18_rocket.jpg",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::copy(good, photos.path().join(format!("good{number}.jpg"))).unwrap();
    }
    std::fs::write(photos.path().join("broken.jpg"), b"no photo at all").unwrap();
    std::fs::write(photos.path().join("empty.png"), b"").unwrap();
    let directory = photos.path().to_str().unwrap();
    let (code, output) = aisha(["demo", "--photos", directory]).start().finish().await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("broken.jpg: ") && output.contains("empty.png: it is empty"),
        "{output}"
    );
    assert!(
        !output.contains("good") && !output.contains("Started"),
        "{output}"
    );
}

/// The smallest photos that there can be: what is drawn from them has its own size.
fn small_photos() -> tempfile::TempDir {
    let photos = tempfile::tempdir().unwrap();
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos/portrait");
    let mut originals: Vec<PathBuf> = std::fs::read_dir(theirs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    originals.sort();
    for original in originals.iter().take(10) {
        let small = image::open(original).unwrap().thumbnail(160, 160);
        small
            .save(photos.path().join(original.file_name().unwrap()))
            .unwrap();
    }
    photos
}

#[tokio::test]
async fn the_demo_ends_with_pictures_and_saves_them() {
    let photos = small_photos();
    let out = photos.path().join("pictures");
    let directories = [photos.path(), &out].map(|path| path.to_str().unwrap());
    let arguments = ["demo", "--photos", directories[0], "--out", directories[1]];
    let (code, output) = aisha(arguments).start().finish().await;
    assert_eq!(code, Some(0), "{output}");
    let said = |words: &str| output.matches(words).count();
    assert_eq!(
        said("accepts a request for pictures on fal-ai/flux-lora"),
        4,
        "{output}"
    );
    assert_eq!(said("pictures drawn: 1"), 4, "{output}");
    let mut saved: Vec<PathBuf> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    saved.sort();
    let names = (1..=4).map(|number| out.join(format!("picture_{number}.jpeg")));
    assert!(saved.iter().cloned().eq(names), "{saved:?}");
    for path in saved {
        assert_eq!(said(&format!("Saved {}", path.display())), 1, "{output}");
        let picture = image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            picture.width().max(picture.height()) >= 1024,
            "{}",
            path.display()
        );
    }
}
