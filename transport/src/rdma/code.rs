//! Return codes of libibverbs and librdmacm.

use std::io;

/// Turns a return code of libibverbs or librdmacm into a result: 0 is success, -1 leaves the error in
/// `errno`, and some calls return the error number itself.
pub(super) fn check(code: i32) -> io::Result<()> {
    match code {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        code => Err(io::Error::from_raw_os_error(code.abs())),
    }
}
