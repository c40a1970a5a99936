//! Logs the same event at most once a second, with the number of times it happened: strangers must not be
//! able to fill a disk with log lines.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Time between two lines.
const WINDOW: Duration = Duration::from_secs(1);

/// One kind of event. The first is logged at once, those of each following second in one line.
#[derive(Debug, Default)]
pub struct Summary {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Whether a window is open: a task will then log what is counted.
    is_open: bool,
    times: u64,
    /// Description of the window's first event.
    example: String,
}

impl Summary {
    /// Counts an event. `describe` makes the example for a line, and is called only if it is needed; `say`
    /// writes the line.
    pub fn add(
        self: &Arc<Self>,
        describe: impl FnOnce() -> String,
        say: impl Fn(&str, u64) + Send + 'static,
    ) {
        let mut window = self.window();
        if window.is_open {
            if window.times == 0 {
                window.example = describe();
            }
            window.times += 1;
            return;
        }
        window.is_open = true;
        drop(window);
        say(&describe(), 1);
        let summary = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WINDOW).await;
                let Some((example, times)) = summary.take() else {
                    break;
                };
                say(&example, times);
            }
        });
    }

    /// Takes what the window has counted; closes the window if that is nothing.
    fn take(&self) -> Option<(String, u64)> {
        let mut window = self.window();
        let times = std::mem::take(&mut window.times);
        window.is_open = times > 0;
        (times > 0).then(|| (std::mem::take(&mut window.example), times))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_first_is_said_at_once_and_the_rest_once_a_second_with_its_number() {
        let (said, mut lines) = mpsc::unbounded_channel();
        let summary = Arc::new(Summary::default());
        let add = |what: &'static str| {
            let said = said.clone();
            let say = move |example: &str, times| said.send((example.to_owned(), times)).expect("a reader");
            summary.add(|| what.to_owned(), say);
        };
        add("a");
        assert_eq!(lines.try_recv(), Ok(("a".to_owned(), 1)));
        for what in ["b", "c", "d"] {
            add(what);
        }
        assert!(lines.try_recv().is_err(), "nothing more within the second");
        assert_eq!(lines.recv().await, Some(("b".to_owned(), 3)));
        add("e");
        assert_eq!(
            lines.recv().await,
            Some(("e".to_owned(), 1)),
            "counting began anew"
        );
    }
}
