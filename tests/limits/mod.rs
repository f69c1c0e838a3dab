//! How many may come in: all together, and from one address; and how much the kernel holds for one that does not read.

mod address;
mod browsers;
mod send_buffer;
mod storm;
