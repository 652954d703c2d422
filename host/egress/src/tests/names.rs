//! A name service that says what a test wants, and counts how often it was asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub(super) struct Names(Mutex<HashMap<String, Entry>>);

/// The answers that follow one another, the last of them for ever, and how many were given.
struct Entry {
    answers: Vec<Vec<IpAddr>>,
    lookups: usize,
}

impl Names {
    pub(super) fn new(names: &[(&str, &[&str])]) -> Arc<Names> {
        let known = Names(Mutex::default());
        names.iter().for_each(|(name, addresses)| known.set(name, &[addresses]));
        Arc::new(known)
    }

    pub(super) fn set(&self, name: &str, answers: &[&[&str]]) {
        let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let entry = Entry { answers: answers.iter().map(parse).collect(), lookups: 0 };
        self.0.lock().unwrap().insert(name.to_owned(), entry);
    }

    pub(super) fn lookups(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].lookups
    }

    fn answer(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let mut known = self.0.lock().unwrap();
        let entry = known.get_mut(name)?;
        let answer = entry.answers.get(entry.lookups).or(entry.answers.last())?;
        entry.lookups += 1;
        Some(answer.iter().map(|address| SocketAddr::new(*address, 0)).collect())
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let answer = self.answer(name.as_str()).ok_or_else(|| std::io::Error::other("no such name").into());
        Box::pin(async move { answer.map(|addresses| Box::new(addresses.into_iter()) as Addrs) })
    }
}
