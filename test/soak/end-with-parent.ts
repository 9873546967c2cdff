// Preloaded into each process of the soak, so that none outlives a killed parent.
process.once("disconnect", () => process.kill(process.pid, "SIGKILL"));
