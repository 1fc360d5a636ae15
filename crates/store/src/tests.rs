//! The store as a whole, held against a list of what was put in.

mod crash;
mod model;
mod queries;
mod shop;
