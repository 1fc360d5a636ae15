//! The store as a whole, held against a list of what was put in.

mod answers;
mod crash;
mod damage;
mod model;
mod queries;
mod retention;
mod shop;
mod traces;
