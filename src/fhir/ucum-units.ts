/** The units of UCUM that clinics and their laboratories use. @see https://ucum.org/ucum (tables 1 to 27) */
/** A value v of the unit is `(v + offset) * factor` of the canonical unit named by `code`. */
export type CanonicalUnit = { readonly code: string; readonly factor: number; readonly offset: number };

export const PREFIXES: ReadonlyMap<string, number> = new Map([
  ...Object.entries({ Y: 1e24, Z: 1e21, E: 1e18, P: 1e15, T: 1e12, G: 1e9, M: 1e6, k: 1e3, h: 1e2, da: 1e1 }),
  ...Object.entries({ d: 1e-1, c: 1e-2, m: 1e-3, u: 1e-6, n: 1e-9, p: 1e-12, f: 1e-15, a: 1e-18, z: 1e-21, y: 1e-24 }),
  ...Object.entries({ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 }),
]);

export type Unit = {
  /** Takes prefixes. */
  readonly metric: boolean;
  readonly factor: number;
  /** The unit it is defined by; a base unit has none. */
  readonly of?: string;
};

/** Scales with a zero of their own: alone only, without prefix, power or company. */
export const AFFINE_UNITS: ReadonlyMap<string, CanonicalUnit> = new Map([
  ['Cel', { code: 'K', factor: 1, offset: 273.15 }],
  ['[degF]', { code: 'K', factor: 5 / 9, offset: 459.67 }],
]);

/** What they count depends on a procedure: each is its own kind. */
export const ARBITRARY_UNITS: ReadonlySet<string> = new Set(
  `[iU] [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] [smgy'U] [bdsk'U] [ka'U] [knk'U]
  [mclg'U] [tb'U] [CCID_50] [TCID_50] [EID_50] [PFU] [FFU] [CFU] [IR] [BAU] [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U] [FEU]
  [ELU] [EU] [NTU] [FNU] [hnsf'U]`.split(/\s+/),
);

// One line each: the symbol, * where it takes prefixes, a number, and the unit that it is so many of.
const TABLE = `
m* 1
s* 1
g* 1
rad* 1
K* 1
C* 1
cd* 1
10* 10 1
10^ 10 1
[pi] 3.1415926535897932 1
% 0.01 1
[ppth] 0.001 1
[ppm] 1e-6 1
[ppb] 1e-9 1
[pptr] 1e-12 1
mol* 6.02214076e23 1
sr* 1 rad2
Hz* 1 /s
N* 1 kg.m/s2
Pa* 1 N/m2
J* 1 N.m
W* 1 J/s
A* 1 C/s
V* 1 J/C
F* 1 C/V
Ohm* 1 V/A
S* 1 A/V
Wb* 1 V.s
T* 1 Wb/m2
H* 1 Wb/A
lm* 1 cd.sr
lx* 1 lm/m2
Bq* 1 /s
Gy* 1 J/kg
Sv* 1 J/kg
deg 2 [pi].rad/360
' 1 deg/60
'' 1 '/60
gon* 0.9 deg
l* 1 dm3
L* 1 l
ar* 100 m2
min 60 s
h 60 min
d 24 h
wk 7 d
a_j 365.25 d
a_t 365.24219 d
a_g 365.2425 d
a 1 a_j
mo_j 1 a_j/12
mo_g 1 a_g/12
mo_s 29.53059 d
mo 1 mo_j
t* 1000 kg
bar* 1e5 Pa
u* 1.66053906660e-24 g
eV* 1.602176634e-19 J
atm 101325 Pa
att 98066.5 Pa
[psi] 6894.757293168361 Pa
m[Hg]* 133.3220 kPa
m[H2O]* 9.80665 kPa
[in_i'Hg] 25.4 mm[Hg]
[in_i'H2O] 25.4 mm[H2O]
[mu_0] 12.566370614359172e-7 N/A2
Ao 0.1 nm
b 100 fm2
dyn* 1 g.cm/s2
erg* 1 dyn.cm
P* 1 dyn.s/cm2
St* 1 cm2/s
G* 1e-4 T
Ci* 3.7e10 Bq
R* 2.58e-4 C/kg
RAD* 100 erg/g
REM* 1 RAD
[in_i] 2.54 cm
[ft_i] 12 [in_i]
[yd_i] 3 [ft_i]
[mi_i] 5280 [ft_i]
[nmi_i] 1852 m
[kn_i] 1 [nmi_i]/h
[sin_i] 1 [in_i]2
[sft_i] 1 [ft_i]2
[cin_i] 1 [in_i]3
[cft_i] 1 [ft_i]3
[in_us] 1 [ft_us]/12
[ft_us] 1200 m/3937
[mi_us] 5280 [ft_us]
[gal_us] 231 [in_i]3
[qt_us] 0.25 [gal_us]
[pt_us] 0.5 [qt_us]
[gil_us] 0.25 [pt_us]
[foz_us] 0.25 [gil_us]
[fdr_us] 0.125 [foz_us]
[tbs_us] 0.5 [foz_us]
[tsp_us] 1 [tbs_us]/3
[cup_us] 16 [tbs_us]
[foz_m] 30 mL
[cup_m] 240 mL
[tsp_m] 5 mL
[tbs_m] 15 mL
[gal_br] 4.54609 l
[pt_br] 0.125 [gal_br]
[foz_br] 1 [gal_br]/160
[gr] 64.79891 mg
[lb_av] 7000 [gr]
[oz_av] 0.0625 [lb_av]
[dr_av] 0.0625 [oz_av]
[stone_av] 14 [lb_av]
[ston_av] 2000 [lb_av]
[lton_av] 2240 [lb_av]
[scwt_av] 100 [lb_av]
[pwt_tr] 24 [gr]
[oz_tr] 20 [pwt_tr]
[lb_tr] 12 [oz_tr]
[sc_ap] 20 [gr]
[dr_ap] 3 [sc_ap]
[oz_ap] 8 [dr_ap]
[lb_ap] 12 [oz_ap]
[lbf_av] 4.4482216152605 N
[degR] 5 K/9
cal* 4.184 J
cal_th* 4.184 J
cal_IT* 4.1868 J
cal_[15]* 4.18580 J
cal_[20]* 4.18190 J
[Cal] 1 kcal_th
[Btu] 1054.350 J
[HP] 745.69987158227 W
eq* 1 mol
osm* 1 mol
kat* 1 mol/s
U* 1 umol/min
g%* 1 g/dl
[g] 9.80665 m/s2
gf* 1 g.[g]
[S] 1e-13 s
[car_m] 0.2 g
[car_Au] 1 /24
[drp] 0.05 ml
[diop] 1 /m
[Ch] 1 mm/3
[PRU] 1 mm[Hg].s/ml
[wood'U] 1 mm[Hg].min/L
[MET] 3.5 mL/min/kg
[HPF] 1 1
[LPF] 100 1
[IU]* 1 [iU]
st* 1 m3
bit 1 1
By* 8 bit
Bd* 1 /s
circ 2 [pi].rad
sph 4 [pi].sr
`;

export const UNITS: ReadonlyMap<string, Unit> = new Map(
  TABLE.trim()
    .split('\n')
    .map((line): [string, Unit] => {
      const [name = '', factor = '', of] = line.split(' ');
      // '10*' is a name of its own.
      const metric = name.endsWith('*') && name !== '10*';
      const unit = { metric, factor: Number(factor), ...(of === undefined ? {} : { of }) };
      return [metric ? name.slice(0, -1) : name, unit];
    }),
);
