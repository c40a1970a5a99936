//! The Telegram simulator from outside: with an unmodified teloxide, with raw HTTP where the bytes matter, and
//! through the control API.

use std::io::Cursor;
use std::time::Duration;

use aisha::simulators::telegram::{
    Control, Fault, FaultAction, Running, SimUser, TelegramSimulator, TelegramSimulatorConfig,
};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use teloxide::Bot;
use teloxide::types::ChatId;

mod faults;
mod files;
mod http;
mod markup;
mod memory;
mod messages;
mod people;
mod updates;
mod webhook;

const TOKEN: &str = "4200042:a-token-of-the-right-shape";
const CHAT: ChatId = ChatId(77);
/// Longer than anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A simulator, and Ann, who has written to the bot.
struct Sim {
    running: Running,
    ann: SimUser,
    http: reqwest::Client,
}

impl Sim {
    async fn start() -> Self {
        Self::start_with(TelegramSimulatorConfig::default()).await
    }

    async fn start_with(config: TelegramSimulatorConfig) -> Self {
        let running = TelegramSimulator::start(config).await.unwrap();
        let ann = running.user(CHAT.0);
        ann.send_text("hello").unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { running, ann, http }
    }

    fn control(&self) -> &Control {
        self.running.control()
    }

    fn bot(&self) -> Bot {
        Bot::with_client(TOKEN, self.http.clone()).set_api_url(self.running.url().parse().unwrap())
    }

    fn method(&self, name: &str) -> String {
        format!("{}/bot{TOKEN}/{name}", self.running.url())
    }

    /// Calls a method with JSON; returns the whole answer.
    async fn call(&self, method: &str, params: Value) -> Value {
        self.http
            .post(self.method(method))
            .json(&params)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// The result of a call that must succeed.
    async fn ok(&self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params).await;
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["result"].take()
    }

    /// The error description of a call that must fail.
    async fn refusal(&self, method: &str, params: Value) -> String {
        let answer = self.call(method, params).await;
        assert_eq!(answer["ok"], false, "{method}: {answer}");
        answer["description"].as_str().unwrap().to_owned()
    }

    /// Sends a text to Ann; returns the message's id.
    async fn say(&self, text: &str) -> i64 {
        self.ok("sendMessage", json!({ "chat_id": CHAT.0, "text": text }))
            .await["message_id"]
            .as_i64()
            .unwrap()
    }

    /// Fetches the present updates without waiting.
    async fn updates(&self, offset: i64) -> Vec<Value> {
        let result = self.ok("getUpdates", json!({ "offset": offset })).await;
        result.as_array().unwrap().clone()
    }

    fn inject(&self, method: &str, action: FaultAction) -> u64 {
        self.control().inject(Fault::on(method, action))
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.running.url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.running.url());
        self.http
            .post(url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}

/// A real picture whose content depends on `shade`.
fn picture(width: u32, height: u32, shade: u8, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb([shade, 128, 64]))
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32, shade: u8) -> Vec<u8> {
    picture(width, height, shade, ImageFormat::Jpeg)
}
