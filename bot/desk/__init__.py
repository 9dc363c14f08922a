"""The duty desk (值班台): staff, roster, queue, cases, copilot; pages by NiceGUI and the staff API, on a port of
its own that only staff reach. Nothing here answers without log-in."""
