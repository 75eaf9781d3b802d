//! The unwinder, libgcc_s, is loaded at the first panic. Linked, it would come with every login, for nothing: most of
//! what it costs is its start, which asks the processor for its features, and a virtual machine intercepts that.
//!
//! It is the system's and no copy in the module: glibc loads the same for pthread_exit(3) and pthread_cancel(3), and
//! what one unwinder notes of a stack is for no other to read. Where the application has these functions already, its
//! own are taken, as they would be if libgcc_s were linked: they may be libunwind's, as in dovecot and Xvnc. There the
//! calls that libgcc_s makes of its own functions go to libunwind, too, and it would end the process.
#![allow(unsafe_code, non_snake_case)]

use std::arch::global_asm;
use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute;
use std::process::abort;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

type Exception = *mut c_void;
type Context = *mut c_void;

/// Functions of libgcc_s by the names that the compiler and its standard library call them; Itanium C++ ABI, "Exception
/// Handling", level I. They are not exported. All that are named anywhere in the library are here, also where no call of
/// them is left: GNU ld would have the module need libgcc_s for the name alone.
macro_rules! functions_of_libgcc {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        global_asm!(concat!(".hidden ", stringify!($name)));

        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $name($($argument: $type),*) $(-> $result)? {
            static KNOWN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
            let address = address(concat!(stringify!($name), "\0"), &KNOWN);
            // SAFETY: what libgcc_s has by this name takes these arguments, and the caller keeps to its contract.
            unsafe {
                transmute::<*mut c_void, unsafe extern "C-unwind" fn($($type),*) $(-> $result)?>(address)($($argument),*)
            }
        }
    )*};
}

functions_of_libgcc! {
    _Unwind_DeleteException(exception: Exception);
    _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
    _Unwind_GetCFA(context: Context) -> usize;
    _Unwind_GetDataRelBase(context: Context) -> usize;
    _Unwind_GetIP(context: Context) -> usize;
    _Unwind_GetIPInfo(context: Context, before_instruction: *mut c_int) -> usize;
    _Unwind_GetLanguageSpecificData(context: Context) -> *const u8;
    _Unwind_GetRegionStart(context: Context) -> usize;
    _Unwind_GetTextRelBase(context: Context) -> usize;
    _Unwind_RaiseException(exception: Exception) -> c_int;
    _Unwind_Resume(exception: Exception) -> !;
    _Unwind_SetGR(context: Context, register: c_int, value: usize);
    _Unwind_SetIP(context: Context, value: usize);
}

global_asm!(".hidden _Unwind_Backtrace");

/// Nobody is told of the frames of a stack: a panic's place is enough for the log. With that, the compiler leaves out
/// all of the standard library that reads debug information, a tenth of the module.
#[unsafe(no_mangle)]
extern "C-unwind" fn _Unwind_Backtrace(_function: *mut c_void, _argument: *mut c_void) -> c_int {
    const END_OF_STACK: c_int = 5;
    END_OF_STACK
}

/// Where libgcc_s has this function, by a name that ends in NUL. Without it a panic cannot become a denial, so that the
/// process ends, and nobody is let in.
fn address(name: &str, known: &AtomicPtr<c_void>) -> *mut c_void {
    let mut address = known.load(Ordering::Acquire);
    if address.is_null() {
        address = look_up(name).unwrap_or_else(|| abort());
        known.store(address, Ordering::Release);
    }
    address
}

/// What is loaded stays, as the module does.
fn look_up(name: &str) -> Option<*mut c_void> {
    let name = CStr::from_bytes_with_nul(name.as_bytes()).ok()?;
    // SAFETY: both names end in NUL, and dlsym(3) is given what dlopen(3) answered, or RTLD_DEFAULT.
    unsafe {
        let mut address = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        if address.is_null() {
            let library = libc::dlopen(c"libgcc_s.so.1".as_ptr(), libc::RTLD_NOW);
            address = (!library.is_null()).then(|| libc::dlsym(library, name.as_ptr()))?;
        }
        (!address.is_null()).then_some(address)
    }
}
