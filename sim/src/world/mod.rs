//! Floor 4: many kernels and the wires between them. Topology scenarios will run here.
