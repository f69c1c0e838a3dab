//! Overload: many clients, hostile peers and exhausted resources.

mod churn;
mod crowd;
mod exhaustion;
mod hostile;
