//! A cluster of whole members: scenes that a person would tell, and many random lives.

mod checks;
mod clock;
mod facts;
mod kinds;
mod lives;
mod scenes;
mod seam;
mod world;
