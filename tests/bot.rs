//! The bot as its users know it: real processes (`aisha bot`, `aisha worker`) between people played at the Telegram
//! simulator and a real Postgres and S3 server.

mod albums;
mod buttons;
mod card;
mod cases;
mod closed;
mod gallery;
mod hearing;
mod history;
mod inbox;
mod kills;
mod photos;
mod presets;
mod silence;
pub mod stage;
mod training;
mod transcripts;
mod turns;
mod wizard;
