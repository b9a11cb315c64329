//! Several processes of the program and a Redis, all of which are killed and started again. Needs
//! `redis-server` (Debian's package of that name) and fails without.

mod failing;
mod hopping;
mod refusing;
mod util;
