//! SIGHUP: the settings are read again, and the listeners become what they say.

use std::collections::VecDeque;

use tracing::error;

use super::{Driver, rules};
use crate::listener::Listener;
use crate::machine::{Event, Post, Reload};
use crate::page::MAX_LISTENERS;
use crate::title::Title;
use crate::{Error, ListenerId, Program, Settings};

impl Driver {
    /// Either everything is taken up or nothing is.
    pub(super) fn reread(&mut self, program: &mut dyn Program) -> Option<Event> {
        self.manager.reloading();
        let event = self.try_to_reread(program);
        if event.is_none() {
            self.manager.not_reloaded();
        }
        event
    }

    fn try_to_reread(&mut self, program: &mut dyn Program) -> Option<Event> {
        let settings = match program.reload() {
            Ok(settings) => settings,
            Err(wrong) => {
                error!("SIGHUP: {wrong}; everything stays as it was");
                return None;
            }
        };
        let settings = if self.activated { Settings { binds: Vec::new(), ..settings } } else { settings };
        match self.bind_new(&settings) {
            Ok(added) => {
                program.take_up();
                Some(Event::Reloaded(self.take_up(settings, added)))
            }
            Err(error) => {
                error!("SIGHUP: {error}; everything stays as it was");
                None
            }
        }
    }

    fn bind_new(&self, settings: &Settings) -> Result<Vec<Listener>, Error> {
        let mut added = Vec::new();
        for bind in settings.binds.iter().filter(|bind| !self.settings.binds.contains(bind)) {
            added.extend(Listener::bind(bind, settings, &mut Vec::new())?);
        }
        let kept = self.listeners.iter().flatten().count();
        if kept + added.len() > MAX_LISTENERS {
            return Err(Error::TooManyBinds { given: kept + added.len(), most: MAX_LISTENERS });
        }
        Ok(added)
    }

    fn take_up(&mut self, settings: Settings, added: Vec<Listener>) -> Reload {
        let removed = (0..self.listeners.len() as u16)
            .map(ListenerId)
            .filter(|id| {
                let open = self.listeners[id.index()].as_ref();
                open.is_some_and(|open| open.bind_setting().is_some_and(|bind| !settings.binds.contains(bind)))
            })
            .collect();
        let mut added: VecDeque<Listener> = added.into();
        let mut places = Vec::new();
        while let Some(listener) = added.pop_front() {
            let id = self.free_place();
            let seat = (settings.reuse_port && listener.tcp().is_some()).then_some(0);
            places.push((id, Post { one_way: listener.tcp().is_none(), group: id, seat }));
            self.settle(id, listener);
        }
        self.title = Title::arbiter(settings.name.as_deref());
        self.settings = settings;
        Reload { rules: rules(&self.settings), added: places, removed }
    }

    /// Puts a listener into a place that is free.
    pub(super) fn settle(&mut self, id: ListenerId, listener: Listener) {
        self.names[id.index()] = listener.name();
        self.listeners[id.index()] = Some(listener);
        // Workers that live already do not have it: they need not let go of it one day.
        for worker in self.workers.values() {
            worker.page.set_swept(id);
        }
    }

    /// A place that no listener has, or has any more.
    pub(super) fn free_place(&mut self) -> ListenerId {
        let free = self.listeners.iter().position(Option::is_none).unwrap_or_else(|| {
            self.listeners.push(None);
            self.names.push(String::new());
            self.listeners.len() - 1
        });
        ListenerId(free as u16)
    }
}
