//! Time and chance, so that tests can have their own.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use super::closer::Control;

/// What the client knows of time.
pub(super) trait Clock: fmt::Debug + Send {
    fn now(&self) -> Instant;

    /// Waits for as long as `delay`, or until the client is closed or told to reconnect.
    fn wait(&self, delay: Duration, control: &Control);
}

#[derive(Debug)]
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&self, delay: Duration, control: &Control) {
        control.wait_interrupted(delay);
    }
}

/// Numbers that need not be secret, only different from one client to the next (splitmix64).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        // The standard library's one source of chance: its hash keys.
        Random(RandomState::new().build_hasher().finish())
    }

    #[cfg(test)]
    pub(super) fn seeded(seed: u64) -> Self {
        Random(seed)
    }

    /// A duration from zero to `limit`, each as likely as any other.
    pub(super) fn up_to(&mut self, limit: Duration) -> Duration {
        let steps = limit.as_nanos().min(u128::from(u64::MAX)) + 1;
        let chosen = (u128::from(self.next()) * steps) >> 64;
        Duration::from_nanos(u64::try_from(chosen).unwrap_or(u64::MAX))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_lasts_as_long_as_it_is_to() {
        let (start, delay) = (Instant::now(), Duration::from_millis(5));
        SystemClock.wait(delay, &Control::new());
        assert!(start.elapsed() >= delay);
    }

    #[test]
    fn chance_stays_within_its_limit_and_reaches_both_ends() {
        let mut random = Random::seeded(1);
        let limit = Duration::from_nanos(3);
        let mut seen = [0; 4];
        for _ in 0..1000 {
            seen[usize::try_from(random.up_to(limit).as_nanos()).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|count| (150..350).contains(count)),
            "{seen:?}"
        );
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
        assert!(random.up_to(Duration::MAX) > Duration::ZERO);
    }

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut random = Random::seeded(1_234_567);
        let numbers = [(); 3].map(|()| random.next());
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, published);
    }

    #[test]
    fn each_client_has_chances_of_its_own() {
        assert_ne!(Random::new().next(), Random::new().next());
    }
}
