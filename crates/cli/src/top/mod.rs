//! `palomar top`: who talks to whom right now, and what is dropped, on a terminal.
//!
//! [`feed`] brings flows, and goes on when the server comes back. [`tally`] counts them for all views at
//! once, in bounded memory. [`app`] is what the keys change, [`draw`] makes a screen of both, and [`mod@run`]
//! moves between them. Without a terminal, [`batch`] prints the same as text.

mod app;
pub(crate) mod args;
mod batch;
mod draw;
mod feed;
mod nodes;
mod numbers;
mod run;
mod sorting;
mod tally;
mod terminal;
mod view;
mod window;

pub(crate) use args::TopArgs;
pub(crate) use run::run;
