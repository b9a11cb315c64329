//! Iterating over what a subscription receives.

use std::iter::FusedIterator;

use super::error::RecvError;
use super::frame::Frame;
use super::subscription::Subscription;

/// What a [`Subscription`] receives, from [`Subscription::iter`].
#[derive(Debug)]
pub struct Iter<'a> {
    subscription: &'a mut Subscription,
}

impl<'a> Iter<'a> {
    pub(super) fn new(subscription: &'a mut Subscription) -> Self {
        Iter { subscription }
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<Frame, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.subscription.recv() {
            Err(RecvError::Closed) => None,
            result => Some(result),
        }
    }
}

/// A closed hub stays closed.
impl FusedIterator for Iter<'_> {}

/// What a [`Subscription`] receives, which it owns.
#[derive(Debug)]
pub struct IntoIter {
    subscription: Subscription,
}

impl Iterator for IntoIter {
    type Item = Result<Frame, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.subscription.iter().next()
    }
}

/// A closed hub stays closed.
impl FusedIterator for IntoIter {}

impl IntoIterator for Subscription {
    type Item = Result<Frame, RecvError>;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter { subscription: self }
    }
}

impl<'a> IntoIterator for &'a mut Subscription {
    type Item = Result<Frame, RecvError>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
