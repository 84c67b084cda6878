/* Technology file of the Heron process */
Technology {
  name = "heron"
  gridResolution = 5
}

# The lowest metal; vertical.
Layer "MET1" {
  layerNumber = 31
  pitch = 0.34
  minSpacing = 0.14
}
ContactCode "VIA1" {
  cutLayer = "VIA1"
  minCutSpacing = 0.17
}
