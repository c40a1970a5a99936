//! `aisha`: one binary, every role and verb.

use clap::Parser;

#[derive(Parser)]
enum Aisha {
    #[cfg(feature = "simulators")]
    TelegramSimulator(aisha::simulators::telegram::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match Aisha::parse() {
        #[cfg(feature = "simulators")]
        Aisha::TelegramSimulator(args) => aisha::simulators::telegram::run(args).await,
    }
}
