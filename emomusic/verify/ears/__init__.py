"""How a clip is heard: senses, the kernel machines that listen with them, calibration."""
