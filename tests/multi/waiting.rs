//! Commands that wait, within transactions and beside them.

use crate::play::Stage;

#[test]
fn nobody_waits_within_a_transaction() {
    Stage::new(&[]).play_in_both_protocols(
        "A MULTI
         A BLPOP k 0
         A BRPOP k l 0
         A BLMOVE k l LEFT RIGHT 0
         A BRPOPLPUSH k l 0
         A BLMPOP 0 1 k LEFT
         A BZPOPMIN z 0
         A BZPOPMAX z 0
         A BZMPOP 0 1 z MIN
         A XREAD BLOCK 0 STREAMS s $
         A XREAD BLOCK 0 STREAMS s 0
         A XGROUP CREATE s g $ MKSTREAM
         A XREADGROUP GROUP g c BLOCK 0 STREAMS s >
         A BLPOP k -1
         A BLPOP k x
         A EXEC
         A MULTI
         A RPUSH k a b c
         A BLPOP k 0
         A BLMOVE k l LEFT RIGHT 0
         A BLMPOP 0 2 none k RIGHT COUNT 5
         A BLPOP k 0
         A ZADD z 1 a
         A BZPOPMIN z 0
         A XADD s 1-1 f v
         A XREADGROUP GROUP g c BLOCK 0 STREAMS s >
         A XREAD BLOCK 0 STREAMS s 0
         A EXEC",
    );
}

#[test]
fn who_waits_is_served_after_exec_of_what_is_left() {
    Stage::new(&[]).play_in_both_protocols(
        "W~ BLPOP k 0
         A MULTI
         A RPUSH k a b
         A LPOP k
         A LPOP k
         A RPUSH k c d
         A EXEC
         W<
         A LRANGE k 0 -1
         A DEL k
         W~ BLPOP k 0
         A+ MULTI; RPUSH k a; DEL k; EXEC
         A+ MULTI; RPUSH k a; DEL k; ZADD k 1 a; EXEC
         A+ MULTI; DEL k; RPUSH k x; RPUSH m y; EXEC
         W<
         W~ BLMOVE k l LEFT RIGHT 0
         V~ BLPOP l 0
         A+ MULTI; RPUSH k 1; EXEC
         W<
         V<
         W~ BLPOP k 0
         V~ BRPOP k 0
         A+ MULTI; RPUSH k 1 2 3; EXEC
         W<
         V<
         W~ BZPOPMIN z 0
         A+ MULTI; ZADD z 2 b; ZADD z 1 a; EXEC
         W<
         W~ XREAD BLOCK 0 STREAMS s $
         A+ MULTI; XADD s 1-1 f v; XADD s 1-2 f v; EXEC
         W<
         A XGROUP CREATE s g $
         W~ XREADGROUP GROUP g c BLOCK 0 STREAMS s >
         A+ MULTI; XADD s 2-1 f v; XADD s 2-2 f v; XDEL s 2-1; EXEC
         W<
         W~ XREADGROUP GROUP g c BLOCK 0 STREAMS s >
         A+ MULTI; DEL s; SET s x; EXEC
         W<",
    );
}

/// Pairs of clients, one of whom waits for a key that the other one's EXEC brings, in every way.
#[test]
fn a_key_that_appears_within_exec_serves_who_waits() {
    let mut stage = Stage::new(&[]);
    for brings in [
        "RENAME l k",
        "COPY l k",
        "SORT l ALPHA STORE k",
        "LMOVE l k LEFT RIGHT",
        "SELECT 1; RPUSH k x; MOVE k 0",
        "SELECT 1; RPUSH k x; SWAPDB 0 1",
        "SELECT 1; RPUSH k x; SWAPDB 0 1; SWAPDB 0 1; SWAPDB 0 1",
        "SELECT 1; COPY l k; SELECT 0; RPUSH k y",
        "RPUSH k x; RENAME k m; RENAME m k",
        "RPUSH k x; FLUSHALL; RPUSH k y",
        "SET k x; DEL k; RPUSH k y",
    ] {
        stage.play_in_both_protocols(&format!(
            "A RPUSH l a b
             W~ BLPOP k 0
             A+ MULTI; {brings}; EXEC
             W<
             A LRANGE k 0 -1"
        ));
    }
}

#[test]
fn a_client_that_was_served_or_unblocked_can_open_a_transaction() {
    Stage::new(&[]).play_in_both_protocols(
        "W~ BLPOP k 0
         A RPUSH k a
         W<
         W MULTI
         W RPUSH k b
         W EXEC
         W WATCH k
         W~ BLPOP none 0
         A SET k x
         A RPUSH none y
         W<
         W+ MULTI; PING; EXEC
         W WATCH w
         W~ BLPOP w 0
         A RPUSH w a
         W<
         W?
         W+ MULTI; PING; EXEC",
    );
}

/// One who waits takes an element: that is a write, which a watcher sees.
#[test]
fn what_a_waiting_client_takes_touches_the_key() {
    Stage::new(&[]).play_in_both_protocols(
        "W~ BLMOVE k target LEFT RIGHT 0
         A WATCH target
         B RPUSH k a
         W<
         A?
         A+ MULTI; PING; EXEC",
    );
}
