* Models and cells of the Heron process, release 1.4
* Read with: quill -spice cells.sp
.option scale=1e-6
.param vdd=1.8 lmin='12n'
.include "corner_tt.inc"

.lib tt
* The n-channel transistor, typical
.model nheron nmos level=72 version=107
+ tfin = 8e-9 hfin = 32e-9
+ phig = 4.35
.endl tt

* An inverter; the widths are for 20 fF.
.subckt inv_x1 a zn vdd vss w=1 l=lmin
mn1 zn a vss vss nheron nfin=2 l=l
* the upper one
mp1 zn a vdd vdd pheron nfin=3 l=l
.ends inv_x1

.SUBCKT NAND2_X1 A1 A2 ZN VDD VSS
*.PININFO A1:I A2:I ZN:O
MM1 ZN A1 N1 VSS nheron w=0.2u
.ENDS
.end
