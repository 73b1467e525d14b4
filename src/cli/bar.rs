//! The daemon's progress before its answer, on standard error: sentences, and a bar for a benchmark. The bar is for
//! people: there is none where standard error is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::Meanwhile;
use crate::ipc::{BenchPhase, BenchProgress};
use crate::printable::{clean, complain};

/// Steps of the bar: finer than it is wide.
const STEPS: u64 = 1000;

/// The bar, once there is something to show on it.
#[derive(Debug, Default)]
pub(super) struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    /// Shows what the daemon says.
    pub(super) fn hear(&mut self, meanwhile: Meanwhile) {
        match meanwhile {
            Meanwhile::Sentence(sentence) => {
                self.clear();
                complain(clean(&sentence));
            }
            Meanwhile::Bench(progress) => self.draw(progress),
        }
    }

    fn draw(&mut self, progress: BenchProgress) {
        // It draws nothing where standard error is no terminal.
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix:>9} [{bar:32}] {percent:>3} %  {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let (phase, rate) = words(&progress);
        bar.set_prefix(phase);
        bar.set_message(rate);
        bar.set_position((progress.done.clamp(0.0, 1.0) * STEPS as f64) as u64);
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn words(progress: &BenchProgress) -> (&'static str, String) {
    let phase = match progress.phase {
        BenchPhase::Preparing => "preparing",
        BenchPhase::Measuring => "measuring",
        BenchPhase::Comparing => "comparing",
    };
    (phase, format!("{:.0} I/Os per second, {:.1} MB/s", progress.iops, progress.mb_per_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_what_is_done_and_how_fast() {
        let progress = BenchProgress { phase: BenchPhase::Measuring, done: 0.5, iops: 1234.5, mb_per_s: 5.05 };
        assert_eq!(words(&progress), ("measuring", "1234 I/Os per second, 5.0 MB/s".to_owned()));
    }

    #[test]
    fn the_template_is_sound_and_the_bar_is_where_the_run_is() {
        let mut bar = Bar::default();
        for done in [f64::NAN, -1.0, 0.25, 7.0, 0.5] {
            bar.draw(BenchProgress { phase: BenchPhase::Comparing, done, iops: 1.0, mb_per_s: 1.0 });
        }
        assert_eq!(bar.bar.as_ref().map(ProgressBar::position), Some(STEPS / 2));
        bar.clear();
        assert!(bar.bar.is_none());
        assert!(ProgressStyle::with_template("{prefix:>9} [{bar:32}] {percent:>3} %  {msg}").is_ok());
    }
}
