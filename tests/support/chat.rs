//! A person who talks to the bot, without a bot process.

use std::ops::Deref;

use aisha::simulators::telegram::SimUser;

use super::Core;

/// A [`Core`] and somebody who has written to the bot.
pub struct Chat {
    core: Core,
    pub person: SimUser,
}

impl Chat {
    pub async fn new() -> Self {
        let core = Core::new().await;
        Self {
            person: core.person(),
            core,
        }
    }
}

impl Deref for Chat {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}
