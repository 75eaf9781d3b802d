//! What must hold for every change of every file.
