//! PAM module for iVALT.
